"""Any Pillow mode and any colour profile to plain sRGB."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from photoorg.imaging.picture import Wanted
from photoorg.models import Rgb

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
_MAX_PROFILE = 4_000_000
_SAME = 3


class Colour:
    """Turns decoded images into sRGB arrays; keeps the transforms of the last profiles seen.

    Safe to use from several threads.
    """

    def __init__(self, kept: int = 32) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._transforms: OrderedDict[tuple[bytes, str], Any] = OrderedDict()

    def to_rgb(self, image: Image.Image, icc: bytes, wanted: Wanted, size: tuple[int, int]) -> Rgb:
        """Flatten on white, reduce to near `wanted`, and convert to sRGB.

        `size` is the original's (width, height) as stored; `image` may already be reduced.
        """
        opaque = flatten(image)
        factor = wanted.reduction(size[0], size[1], opaque.size)
        if factor > 1:
            opaque = opaque.reduce(factor)
        return _as_array(self._convert(opaque, icc))

    def pixels_to_rgb(self, pixels: Rgb, icc: bytes, wanted: Wanted, size: tuple[int, int]) -> Rgb:
        """The same for pixels [h, w] or [h, w, 3] without alpha, given back untouched if fit."""
        reduced = wanted.reduction(size[0], size[1], (pixels.shape[1], pixels.shape[0])) > 1
        if pixels.ndim == 3 and not reduced and self._transform(icc, "RGB") is None:
            return pixels
        return self.to_rgb(Image.fromarray(pixels), icc, wanted, size)

    def _convert(self, image: Image.Image, icc: bytes) -> Image.Image:
        transform = self._transform(icc, image.mode)
        if transform is not None:
            return cast(Image.Image, transform.apply(image))
        if image.mode == "LAB":
            return cast(Image.Image, _lab_transform().apply(image))
        return image.convert("RGB")

    def _transform(self, icc: bytes, mode: str) -> Any:
        if not 0 < len(icc) <= _MAX_PROFILE:
            return None
        key = (hashlib.sha256(icc).digest(), mode)
        with self._lock:
            if key in self._transforms:
                self._transforms.move_to_end(key)
                return self._transforms[key]
        made = _build(icc, mode)
        with self._lock:
            self._transforms[key] = made
            while len(self._transforms) > self._kept:
                self._transforms.popitem(last=False)
        return made


def flatten(image: Image.Image) -> Image.Image:
    """The same picture in mode RGB, L, CMYK or LAB: no palette, no alpha (white behind), 8 bit."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bit(np.asarray(image)))
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif image.mode in ("L", "RGB") and "transparency" in image.info:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode in ("1", "La"):
        image = image.convert("L" if image.mode == "1" else "LA")
    elif image.mode not in (*_SPACES, "LA", "RGBA"):
        image = image.convert("RGB")
    return _on_white(image) if image.mode in ("LA", "RGBA") else image


def _on_white(image: Image.Image) -> Image.Image:
    base = image.mode[:-1]
    opaque = image.convert(base)
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return opaque
    white = Image.new(base, image.size, "white")
    white.paste(opaque, mask=alpha)
    return white


def _to_8_bit(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Gray of more than 8 bits, by its type's range; floats and 32-bit integers by their own."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(float(finite.min()), 0.0), float(finite.max())
    if values.dtype.kind == "f":
        top = 1.0 if high <= 1.0 else high
    else:
        top = 255.0 if high <= 255 else 65_535.0 if high <= 65_535 else high
    scaled = (finite - low) * (255.0 / max(top - low, 1e-30))
    gray: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return gray


def _build(icc: bytes, mode: str) -> Any:
    """The transform to sRGB, None if the profile is broken, of another space, or sRGB itself."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if profile.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(profile, srgb, mode, "RGB")
        return None if mode == "RGB" and _is_identity(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _is_identity(transform: Any) -> bool:
    """Whether no colour of a 9 x 9 x 9 grid moves visibly: an sRGB profile under any name."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(transform.apply(Image.fromarray(grid))).astype(np.int16) - grid
    return int(np.abs(moved).max()) <= _SAME


def _lab_transform() -> Any:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")


def _as_array(image: Image.Image) -> Rgb:
    return np.array(image.convert("RGB") if image.mode != "RGB" else image)
