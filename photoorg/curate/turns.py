"""PDQ hashes of a picture that is turned or mirrored, from the hash of the upright one.

A mirror image negates every other cosine coefficient and a transposed one swaps the two
frequencies (Meta, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm",
2019); with a median near 0 a negated coefficient is a flipped bit, so the turned hash is right but
for some ten bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Turn = Literal["upright", "rot90", "rot180", "rot270", "mirror", "flip", "transpose", "transverse"]
TURNS: tuple[Turn, ...] = (
    "upright",
    "rot90",
    "rot180",
    "rot270",
    "mirror",
    "flip",
    "transpose",
    "transverse",
)
QUARTER = frozenset({"rot90", "rot270", "transpose", "transverse"})
"""Turns that swap width and height."""
BOTH_WAYS: tuple[Turn, ...] = ("rot90", "rot180", "mirror", "flip", "transpose", "transverse")
"""Enough to look for: what is turned by 270 degrees to one is turned by 90 to the other."""
SIDE = 16
BLOCK = 65_536
_ODD_COLUMNS, _ODD_ROWS = np.zeros((2, SIDE, SIDE), np.uint8)
_ODD_COLUMNS[:, 1::2] = 1
_ODD_ROWS[1::2] = 1


def turned(pdq_n4: Words, turn: Turn) -> Words:
    """Hashes [n, 4] of the same pictures after `turn` (rot90: counter-clockwise, as np.rot90)."""
    flips = {
        "upright": None,
        "rot180": _ODD_COLUMNS ^ _ODD_ROWS,
        "mirror": _ODD_COLUMNS,
        "flip": _ODD_ROWS,
        "transpose": None,
        "rot90": _ODD_ROWS,
        "rot270": _ODD_COLUMNS,
        "transverse": _ODD_COLUMNS ^ _ODD_ROWS,
    }[turn]
    result = _transposed(pdq_n4) if turn in QUARTER else pdq_n4
    return result if flips is None else result ^ _as_words(flips)


def turned_pixels(image: NDArray[Any], turn: Turn) -> NDArray[Any]:
    """The picture [height, width, ...] after `turn`."""
    if turn in ("rot90", "rot180", "rot270"):
        return np.rot90(image, ("rot90", "rot180", "rot270").index(turn) + 1)
    if turn in ("transpose", "transverse"):
        upright = image if turn == "transpose" else np.rot90(image, 2)
        return np.swapaxes(upright, 0, 1)
    return {"upright": image, "mirror": image[:, ::-1], "flip": image[::-1]}[turn]


@cache
def compose(outer: int, inner: int) -> int:
    """The one turn that is `inner`, then `outer`; each a place in TURNS."""
    corners = np.arange(4).reshape(2, 2)
    after = turned_pixels(turned_pixels(corners, TURNS[inner]), TURNS[outer])
    return next(n for n, t in enumerate(TURNS) if (turned_pixels(corners, t) == after).all())


@cache
def inverse(turn: int) -> int:
    """The turn that takes `turn` back; places in TURNS."""
    return next(n for n in range(len(TURNS)) if compose(n, turn) == 0)


def _transposed(pdq_n4: Words) -> Words:
    result = np.empty_like(pdq_n4)
    for start in range(0, len(pdq_n4), BLOCK):
        part = np.ascontiguousarray(pdq_n4[start : start + BLOCK]).view(np.uint8)
        bits = np.unpackbits(part, axis=1).reshape(-1, SIDE, SIDE).transpose(0, 2, 1)
        packed = np.packbits(np.ascontiguousarray(bits).reshape(len(part), -1), axis=1)
        result[start : start + BLOCK] = packed.view(np.uint64)
    return result


def _as_words(bits: NDArray[np.uint8]) -> Words:
    return np.packbits(bits.reshape(-1)).view(np.uint64)
