"""Perceptual hashes of an upright sRGB image.

PDQ: Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (2019). pHash,
dHash and aHash: as the ImageHash package defines them (Krawetz, hackerfactor.com, 2011 and 2013),
bits in row-major order, most significant first.
"""

from __future__ import annotations

import numpy as np
import pdqhash
from numpy.typing import NDArray
from PIL import Image

from photoorg.models import Hashes, Rgb

_LONG_SIDE = 512


def hash_image(rgb: Rgb) -> Hashes:
    """PDQ (256 bits, quality 0..100), pHash, dHash and aHash (64 bits each).

    All are taken from the image fitted into 512 pixels, the size PDQ's reference works at.
    """
    image = _fitted(Image.fromarray(rgb))
    bits, quality = pdqhash.compute(np.asarray(image))
    gray = image.convert("L")
    return Hashes(
        pdq=np.packbits(bits).tobytes(),
        pdq_quality=int(quality),
        phash=_phash(gray),
        dhash=_dhash(gray),
        ahash=_ahash(gray),
    )


def hamming(a: bytes, b: bytes) -> int:
    """How many bits differ; both must be equally long."""
    assert len(a) == len(b), "hashes of different lengths"
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count()


def _fitted(image: Image.Image) -> Image.Image:
    scale = _LONG_SIDE / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _phash(gray: Image.Image) -> bytes:
    pixels = np.asarray(gray.resize((32, 32), Image.Resampling.LANCZOS), np.float64)
    low = _COSINES @ pixels @ _COSINES.T
    return np.packbits(low > np.median(low)).tobytes()


def _dhash(gray: Image.Image) -> bytes:
    pixels = np.asarray(gray.resize((9, 8), Image.Resampling.LANCZOS))
    return np.packbits(pixels[:, 1:] > pixels[:, :-1]).tobytes()


def _ahash(gray: Image.Image) -> bytes:
    pixels = np.asarray(gray.resize((8, 8), Image.Resampling.LANCZOS))
    return np.packbits(pixels > pixels.mean()).tobytes()


def _dct_rows(rows: int, length: int) -> NDArray[np.float64]:
    """The first rows of the DCT-II matrix (unnormalised)."""
    k, n = np.arange(rows)[:, None], np.arange(length)[None]
    return 2 * np.cos(np.pi * k * (2 * n + 1) / (2 * length))


_COSINES = _dct_rows(8, 32)
