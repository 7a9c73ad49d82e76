"""Views: the parts of a photo that a space embeds one by one, the whole first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from photoorg.errors import ConfigError

FULL = "full"
CENTRE = "centre"
ONE: tuple[str, ...] = (FULL,)
"""The views of a space that embeds photos as a whole, and nothing else."""
GRIDS = (2, 3, 4)
OVERLAP = 1.2
"""Tiles are this much wider than a grid without overlap would have them."""
_TILE = re.compile(r"grid([2-4])-row([1-4])-column([1-4])")
# Part of a space's identity: what a name stands for never changes; other boxes get other names.


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of a photo as fractions 0..1 of its upright width and height."""

    left: float
    top: float
    width: float
    height: float


def expand(names: Iterable[str]) -> tuple[str, ...]:
    """Every view that is named: `grid<N>` stands for its N x N overlapping tiles, row by row.

    ConfigError for an unknown name, one given twice, or if `full` is not the first.
    """
    views: list[str] = []
    for name in names:
        grid = name.removeprefix("grid")
        if name.startswith("grid") and grid.isdigit() and int(grid) in GRIDS:
            places = range(1, int(grid) + 1)
            views += [f"{name}-row{row}-column{column}" for row in places for column in places]
        else:
            part_of(name)
            views.append(name)
    if len(set(views)) < len(views) or views[:1] != [FULL]:
        raise ConfigError(
            f"views are {', '.join(views) or 'empty'}: `full` comes first, and each only once.",
            fix="Write for example `views: [full, centre, grid2]`.",
        )
    return tuple(views)


def part_of(view: str) -> Part:
    """The rectangle a view shows; ConfigError for a name that is none."""
    if view == FULL:
        return Part(0.0, 0.0, 1.0, 1.0)
    if view == CENTRE:
        return Part(0.2, 0.2, 0.6, 0.6)
    found = _TILE.fullmatch(view)
    if found is not None:
        count, row, column = map(int, found.groups())
        if max(row, column) <= count:
            side = OVERLAP / count
            step = (1 - side) / (count - 1)
            return Part((column - 1) * step, (row - 1) * step, side, side)
    raise ConfigError(
        f"There is no view {view!r}.",
        fix=f"Use {FULL}, {CENTRE}, {', '.join(f'grid{n}' for n in GRIDS)}.",
    )


def pixels_of(view: str, width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a view in an image of that size; at least one pixel."""
    part = part_of(view)
    left, top = (math.floor(at) for at in (part.left * width, part.top * height))
    right = min(width, max(left + 1, round((part.left + part.width) * width)))
    bottom = min(height, max(top + 1, round((part.top + part.height) * height)))
    return min(left, width - 1), min(top, height - 1), right, bottom


def enlargement(views: Iterable[str]) -> float:
    """How much larger than for the whole an image must be decoded, for the smallest view's sake."""
    return 1 / min(min(part.width, part.height) for part in map(part_of, views))


def in_words(view: str) -> str:
    """Where the view is, for people: "the whole", "the centre", "the part at the top right"."""
    part = part_of(view)
    if view == FULL:
        return "the whole"
    x, y = part.left + part.width / 2 - 0.5, part.top + part.height / 2 - 0.5
    rows = "" if abs(y) < 0.05 else ("top" if y < 0 else "bottom")
    columns = "" if abs(x) < 0.05 else ("left" if x < 0 else "right")
    place = " ".join(word for word in (rows, columns) if word)
    return f"the part at the {place}" if place else "the centre"
