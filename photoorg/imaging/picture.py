"""What decoders of the single formats take and give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from PIL import Image

from photoorg.config import ImagingConfig
from photoorg.errors import DecodeError, TooLargeError
from photoorg.models import Rgb

RECIPE = "photoorg-1"
"""Version of everything photoorg itself does between bytes and pixels."""


@cache
def library(package: str) -> str:
    """The decoding package with its version, such as "simplejpeg-1.9.0"."""
    return f"{package.replace('-', '_')}-{version(package)}"


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels as decoded: scaled, sRGB, and upright unless `turn` is an EXIF orientation over 1.

    `width` and `height` are those of the original before turning.
    """

    rgb: Rgb
    width: int
    height: int
    library: str
    turn: int = 1
    frames: int = 1
    exif: bytes = b""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The least size a decoded picture must keep; never more than the original has."""

    short_side: int
    long_side: int

    def scale(self, width: int, height: int) -> float:
        """The smallest factor 0..1 by which the original may be reduced."""
        short, long = min(width, height), max(width, height)
        return min(1.0, max(self.short_side / short, self.long_side / long))

    def reduction(self, width: int, height: int, now: tuple[int, int]) -> int:
        """The integer factor by which pixels of size `now` may still be box-averaged."""
        scale = self.scale(width, height)
        return max(1, int(min(now[0] / (width * scale), now[1] / (height * scale)) + 1e-6))

    def fits(self, width: int, height: int, now: tuple[int, int]) -> bool:
        """Whether pixels of size `now` are enough for an original of that size."""
        scale = self.scale(width, height)
        return now[0] + 1 > width * scale and now[1] + 1 > height * scale


@dataclass(frozen=True, slots=True)
class Limits:
    """Refuses what is over the configured limits before any pixel is decoded."""

    config: ImagingConfig

    def check_bytes(self, size: int) -> None:
        """Raise TooLargeError for a file of more bytes than allowed."""
        if size > self.config.max_bytes:
            raise TooLargeError(
                f"The file has {size:,} bytes; at most {self.config.max_bytes:,} are read.",
                fix="Raise imaging.max_bytes, or save the photo smaller.",
            )

    def check_size(self, width: int, height: int) -> None:
        """Raise DecodeError for an image without pixels, TooLargeError for one with too many."""
        if width < 1 or height < 1:
            raise DecodeError(f"The image has no pixels ({width} x {height}).")
        if width * height > self.config.max_pixels:
            raise TooLargeError(
                f"The image has {width:,} x {height:,} pixels; at most "
                f"{self.config.max_pixels:,} are decoded.",
                fix="Raise imaging.max_pixels, or save the photo smaller.",
            )

    def check_frames(self, frames: int) -> None:
        """Raise TooLargeError for an animation or sequence of more frames than allowed."""
        if frames > self.config.max_frames:
            raise TooLargeError(
                f"The file has {frames:,} frames; at most {self.config.max_frames:,} are accepted.",
                fix="Raise imaging.max_frames, or leave the file out.",
            )


def truncated(name: str) -> DecodeError:
    """The error for a file whose picture data ends too early."""
    return DecodeError(
        f"The {name} file is truncated: its picture data ends too early.",
        fix="Copy it again from its source.",
    )


_TRUNCATED = re.compile(
    r"truncat|premature end|unexpected end|end.of.file|\beof\b|not enough", re.I
)
_NOISE = re.compile(r"<[^>]*>|0x[0-9a-f]+|\s+", re.I)


def explain(name: str, error: BaseException) -> Exception:
    """The error a person can understand for whatever a library raised on a file of type `name`."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return TooLargeError(f"The {name} file announces far more pixels than are decoded.")
    if isinstance(error, MemoryError):
        return DecodeError(f"The {name} file needs more memory than a decoder may use.")
    said = _NOISE.sub(" ", str(error)).strip(" .:")
    if isinstance(error, EOFError) or _TRUNCATED.search(said):
        return truncated(name)
    detail = said if said and len(said) <= 120 and said.isprintable() else ""
    if detail.startswith("decoder error"):
        detail = "its picture data cannot be decoded"
    elif "cannot identify image" in detail:
        detail = "its header cannot be read"
    return DecodeError(
        f"The {name} file is damaged or of a kind that cannot be read"
        + (f": {detail}." if detail else "."),
        fix="Open it in another program and save it again.",
    )
