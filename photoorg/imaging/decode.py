"""Decode once: any accepted file to one upright, scaled sRGB array that every stage shares."""

from __future__ import annotations

import numpy as np

from photoorg.config import ImagingConfig
from photoorg.errors import PhotoOrgError
from photoorg.imaging import sniff as types
from photoorg.imaging.colour import Colour
from photoorg.imaging.heif import decode_heif
from photoorg.imaging.jpeg import decode_jpeg
from photoorg.imaging.picture import RECIPE, Limits, Picture, Wanted, explain
from photoorg.imaging.raster import decode_raster
from photoorg.imaging.raw import decode_raw
from photoorg.imaging.sniff import sniff
from photoorg.models import Decoded, Rgb

__all__ = ["Decoder", "sniff"]


class Decoder:
    """Decodes in the calling process; safe to share between threads, and picklable.

    Limits on bytes, pixels and frames hold. The limit on seconds, and safety from native crashes
    and greed, need a process of its own: see photoorg.imaging.guard.GuardedDecoder.
    """

    def __init__(self, config: ImagingConfig) -> None:
        self._config = config
        self._limits = Limits(config)
        self._colour = Colour()

    def __reduce__(self) -> tuple[type[Decoder], tuple[ImagingConfig]]:
        return (Decoder, (self._config,))

    def decode(self, data: bytes, *, short_side: int, long_side: int = 0) -> Decoded:
        """One photo, upright, with short side >= `short_side` and long side >= `long_side`.

        It is reduced to less than about twice that and never enlarged. Only the first frame or
        page is decoded; alpha is laid on white. Raises UnsupportedMediaError for other types,
        TooLargeError over a limit, and DecodeError, saying why, for anything that cannot be read.
        """
        self._limits.check_bytes(len(data))
        mime = sniff(data)
        try:
            picture = self._decode(data, mime, Wanted(short_side, long_side))
        except PhotoOrgError:
            raise
        except Exception as error:
            raise explain(types.name_of(mime), error) from error
        return _upright(picture, mime)

    def _decode(self, data: bytes, mime: str, wanted: Wanted) -> Picture:
        if mime == types.JPEG:
            return decode_jpeg(data, wanted, self._limits, self._colour)
        if mime in (types.HEIC, types.HEIF):
            return decode_heif(data, wanted, self._limits, self._colour)
        if types.is_raw(mime):
            return decode_raw(data, wanted, self._limits, self._colour)
        return decode_raster(data, mime, wanted, self._limits, self._colour)


def _upright(picture: Picture, mime: str) -> Decoded:
    width, height = picture.width, picture.height
    if picture.turn >= 5:
        width, height = height, width
    return Decoded(
        rgb=_turned(picture.rgb, picture.turn),
        width=width,
        height=height,
        mime=mime,
        decoder=f"{RECIPE}/{picture.library}",
        frames=picture.frames,
        exif=picture.exif,
    )


def _turned(rgb: Rgb, turn: int) -> Rgb:
    """Apply an EXIF orientation 1..8 (EXIF 2.32, tag 0x0112)."""
    if turn >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if turn in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)
