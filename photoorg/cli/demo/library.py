"""A photo library made at run time from photographs that scikit-image and scikit-learn ship.

Fourteen subjects, each photographed once and then cropped, edited, re-encoded, turned and copied,
with camera, time and place in EXIF; and some files that are broken in the ways files break.
"""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps
from PIL.Image import Transpose

from photoorg.cli.demo.exif import Shot, exif_block
from photoorg.errors import ResourceError

SCIKIT_IMAGE = "skimage", "data"
SCIKIT_LEARN = "sklearn", "datasets/images"
"""Package, and the folder of photographs inside it."""


@dataclass(frozen=True, slots=True)
class Album:
    """A day of photographing: when it began, where (WGS-84 degrees), and with which camera."""

    name: str
    begin: datetime
    latitude: float
    longitude: float
    camera: str = "Pinhole One"


@dataclass(frozen=True, slots=True)
class Subject:
    """What was photographed, and the file of which package its pixels come from."""

    name: str
    source: tuple[str, str]
    file: str
    album: Album


BEIJING = Album("2019 Beijing", datetime(2019, 5, 4, 10), 39.9988, 116.2755)
ATHENS = Album("2020 Athens", datetime(2020, 9, 12, 11), 37.9715, 23.7257)
FLORIDA = Album("2021 Florida", datetime(2021, 3, 8, 13), 28.5239, -80.6819)
ATACAMA = Album("2021 Atacama", datetime(2021, 11, 19, 23), -24.6275, -70.4044, "Skywatch T2")
HOME = Album("2022 Home", datetime(2022, 1, 16, 8), 59.3293, 18.0686)
BOSTON = Album("2023 Boston", datetime(2023, 6, 2, 12), 42.3601, -71.0942)
SUBJECTS = (
    Subject("pavilion", SCIKIT_LEARN, "china.jpg", BEIJING),
    Subject("bricks", SCIKIT_IMAGE, "brick.png", BEIJING),
    Subject("coins", SCIKIT_IMAGE, "coins.png", ATHENS),
    Subject("gravel", SCIKIT_IMAGE, "gravel.png", ATHENS),
    Subject("astronaut", SCIKIT_IMAGE, "astronaut.png", FLORIDA),
    Subject("rocket", SCIKIT_IMAGE, "rocket.jpg", FLORIDA),
    Subject("moon", SCIKIT_IMAGE, "moon.png", ATACAMA),
    Subject("galaxies", SCIKIT_IMAGE, "hubble_deep_field.jpg", ATACAMA),
    Subject("cat", SCIKIT_IMAGE, "chelsea.png", HOME),
    Subject("coffee", SCIKIT_IMAGE, "coffee.png", HOME),
    Subject("clock", SCIKIT_IMAGE, "clock_motion.png", HOME),
    Subject("cameraman", SCIKIT_IMAGE, "camera.png", BOSTON),
    Subject("motorcycle", SCIKIT_IMAGE, "motorcycle_left.png", BOSTON),
    Subject("lawn", SCIKIT_IMAGE, "grass.png", BOSTON),
)
STRANGER = Subject("flower", SCIKIT_LEARN, "flower.jpg", HOME)
"""A subject that is not in the library: the photo that is uploaded later."""


@dataclass(frozen=True, slots=True)
class Library:
    """A folder of photos: which file shows which subject, and which files are broken."""

    folder: Path
    subject_of: dict[Path, str]
    copies: tuple[Path, ...]
    broken: tuple[Path, ...]

    @property
    def files(self) -> int:
        """Everything there is, the broken ones too."""
        return len(self.subject_of) + len(self.broken)

    @property
    def subjects(self) -> list[str]:
        """Names of everything that was photographed."""
        return list(dict.fromkeys(self.subject_of.values()))

    def path(self, subject: str, version: str) -> Path:
        """The file of one version of a subject."""
        return next(p for p in self.subject_of if p.stem == f"{subject}-{version}")

    def subject_at(self, uri: str) -> str | None:
        """What the file at a file:// URI shows; None if it is not of this library."""
        return self.subject_of.get(Path(uri.removeprefix("file://")))


@dataclass(frozen=True, slots=True)
class Version:
    """One way in which a photo exists twice: an edit, then a file format."""

    name: str
    suffix: str
    edit: Callable[[Image.Image, random.Random], Image.Image]
    orientation: int = 1
    quality: int = 90


def subject_named(name: str) -> Subject:
    """The subject of that name."""
    return next(subject for subject in SUBJECTS if subject.name == name)


def photograph(subject: Subject) -> Image.Image:
    """The subject's photograph as its package ships it, in RGB."""
    package, folder = subject.source
    with Image.open(_installed(package) / folder / subject.file) as image:
        return image.convert("RGB")


def _installed(package: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ResourceError(
            f"The photographs come with {package}, which is not installed.",
            fix="Install photoorg[cpu].",
        )
    return Path(spec.origin).parent


def build(folder: Path, seed: int = 20) -> Library:
    """Write the library into `folder`; the same seed gives the same photos."""
    subject_of: dict[Path, str] = {}
    copies: list[Path] = []
    for subject in SUBJECTS:
        album = folder / subject.album.name
        album.mkdir(parents=True, exist_ok=True)
        rng = random.Random(f"{seed} {subject.name}")
        original = photograph(subject)
        for number, version in enumerate(VERSIONS):
            path = album / f"{subject.name}-{version.name}{version.suffix}"
            path.write_bytes(_encode(original, subject.album, version, number, rng))
            subject_of[path] = subject.name
        copy = album / f"{subject.name}-original (1).jpg"
        copy.write_bytes((album / f"{subject.name}-original.jpg").read_bytes())
        subject_of[copy] = subject.name
        copies.append(copy)
    whole = next(iter(subject_of)).read_bytes()
    return Library(folder, subject_of, tuple(copies), _break_files(folder / "Recovered", whole))


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    """The image as JPEG bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """A part of the image, edges given as fractions 0..1."""
    w, h = image.size
    return image.crop((int(left * w), int(top * h), int(right * w), int(bottom * h)))


def _encode(
    original: Image.Image, album: Album, version: Version, number: int, rng: random.Random
) -> bytes:
    image = version.edit(original, rng)
    image = image.transpose(STORED[version.orientation]) if version.orientation > 1 else image
    exif = exif_block(
        Shot(
            taken=album.begin + timedelta(minutes=7 * number),
            latitude=album.latitude + rng.uniform(-0.001, 0.001),
            longitude=album.longitude + rng.uniform(-0.001, 0.001),
            camera=album.camera,
            orientation=version.orientation,
        )
    )
    if version.suffix == ".heic":
        return _heic(image, version.quality, exif)
    buffer = io.BytesIO()
    options = {"quality": version.quality, "compress_level": 3, "method": 2}
    image.save(buffer, FORMATS[version.suffix], exif=exif, **options)
    return buffer.getvalue()


def _heic(image: Image.Image, quality: int, exif: bytes) -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    speed = {"preset": "ultrafast"}
    pillow_heif.from_pillow(image).save(buffer, quality=quality, exif=exif, enc_params=speed)
    return buffer.getvalue()


def _same(image: Image.Image, rng: random.Random) -> Image.Image:
    return image


def _smaller(image: Image.Image, rng: random.Random) -> Image.Image:
    return image.resize((image.width * 2 // 3, image.height * 2 // 3), Image.Resampling.LANCZOS)


def _crop_anywhere(image: Image.Image, rng: random.Random) -> Image.Image:
    left, top = rng.uniform(0, 0.3), rng.uniform(0, 0.3)
    return crop(image, left, top, left + 0.7, top + 0.7)


def _trimmed(image: Image.Image, rng: random.Random) -> Image.Image:
    return crop(image, 0.05, 0.05, 0.95, 0.95)


def _brighter(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(rng.uniform(1.2, 1.4))


def _darker(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(image).enhance(0.75)).enhance(1.2)


def _grey(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.grayscale(image)


def _warm(image: Image.Image, rng: random.Random) -> Image.Image:
    small = _smaller(image, rng)
    return Image.blend(small, Image.new("RGB", small.size, (255, 150, 60)), 0.15)


def _mirrored(image: Image.Image, rng: random.Random) -> Image.Image:
    return ImageOps.mirror(image)


FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF"}
STORED = {
    3: Transpose.ROTATE_180,
    6: Transpose.ROTATE_90,
    8: Transpose.ROTATE_270,
}
"""How the sensor's pixels lie for each EXIF orientation: the turn that the flag undoes."""
VERSIONS = (
    Version("original", ".jpg", _same, quality=93),
    Version("shared", ".jpg", _smaller, quality=45),
    Version("export", ".png", _same),
    Version("web", ".webp", _smaller, quality=70),
    Version("scan", ".tif", _trimmed),
    Version("phone", ".jpg", _same, orientation=6),
    Version("upside-down", ".jpg", _trimmed, orientation=3),
    Version("crop", ".jpg", _crop_anywhere, orientation=8),
    Version("closer", ".jpg", _crop_anywhere),
    Version("bright", ".jpg", _brighter),
    Version("dark", ".jpg", _darker),
    Version("grey", ".jpg", _grey),
    Version("warm", ".heic", _warm),
    Version("mirrored", ".jpg", _mirrored),
)


def _break_files(folder: Path, whole: bytes) -> tuple[Path, ...]:
    """Files that look like photos and are none."""
    folder.mkdir(parents=True, exist_ok=True)
    broken = {
        "empty.jpg": b"",
        "cut-short.jpg": whole[: len(whole) // 3],
        "header-only.jpg": whole[:200],
        "shopping-list.jpg": b"milk\nbread\nphoto paper\n" * 20,
        "letter.png": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        "page.webp": b"<!doctype html><title>404</title><p>Not found</p>",
        "bomb.png": _bomb(),
        "noise.heic": random.Random(1).randbytes(5_000),
    }
    for name, data in broken.items():
        (folder / name).write_bytes(data)
    return tuple(folder / name for name in broken)


def _bomb(side: int = 20_000) -> bytes:
    """A whole PNG of some fifty kilobytes that unpacks to 400 megapixels."""
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((side // 8 + 1) * side), 6)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    )
