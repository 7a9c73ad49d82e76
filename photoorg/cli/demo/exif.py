"""EXIF blocks as cameras write them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

Exif = ExifTags.Base
Gps = ExifTags.GPS


@dataclass(frozen=True, slots=True)
class Shot:
    """What the camera knew: local time (UTC+0 here), WGS-84 degrees, model, orientation 1..8."""

    taken: datetime
    latitude: float
    longitude: float
    camera: str
    orientation: int = 1


def exif_block(shot: Shot) -> bytes:
    """The shot as an EXIF block, ready for Image.save."""
    stamp = shot.taken.strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    maker, model = shot.camera.split(" ", 1)
    exif[Exif.Make], exif[Exif.Model] = maker, model
    exif[Exif.Orientation] = shot.orientation
    exif[Exif.DateTime] = stamp
    exif[ExifTags.IFD.Exif] = {
        Exif.DateTimeOriginal: stamp,
        Exif.OffsetTimeOriginal: "+00:00",
        Exif.ExposureTime: IFDRational(1, 250),
        Exif.FNumber: IFDRational(28, 10),
        Exif.ISOSpeedRatings: 200,
        Exif.FocalLength: IFDRational(35, 1),
    }
    exif[ExifTags.IFD.GPSInfo] = {
        Gps.GPSLatitudeRef: "N" if shot.latitude >= 0 else "S",
        Gps.GPSLatitude: _degrees(shot.latitude),
        Gps.GPSLongitudeRef: "E" if shot.longitude >= 0 else "W",
        Gps.GPSLongitude: _degrees(shot.longitude),
    }
    return exif.tobytes()


def _degrees(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    seconds = round(abs(value) * 3600 * 100)
    degrees, rest = divmod(seconds, 3600 * 100)
    minutes, rest = divmod(rest, 60 * 100)
    return IFDRational(degrees, 1), IFDRational(minutes, 1), IFDRational(rest, 100)
