"""A contact sheet: per question the query and what was found, with scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL = 150
LABEL = 34
MARGIN = 14
GAP = 10
TITLE = 30
PAPER, INK, FAINT, MARK = (250, 249, 246), (30, 30, 34), (110, 110, 118), (214, 92, 40)


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture with up to two lines under it."""

    image: Image.Image
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One question: what was asked, the query picture, the results best first."""

    title: str
    query: Cell
    results: tuple[Cell, ...]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the sheet as PNG, as wide as its longest row."""
    widest = max(len(row.results) for row in rows) + 1
    height = TITLE + CELL + LABEL + GAP
    size = (2 * MARGIN + widest * (CELL + GAP) + GAP, 2 * MARGIN + len(rows) * height)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        top = MARGIN + number * height
        pen.text((MARGIN, top + 4), row.title, INK, ImageFont.load_default(17))
        _cell(sheet, pen, row.query, MARGIN, top + TITLE, outline=MARK)
        for place, cell in enumerate(row.results, start=1):
            left = MARGIN + 2 * GAP + place * (CELL + GAP)
            _cell(sheet, pen, cell, left, top + TITLE, outline=None)
    sheet.save(path, "PNG")


def boxed(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """A copy with the box (left, top, width, height in pixels) marked."""
    marked = image.copy()
    left, top, width, height = box
    ImageDraw.Draw(marked).rectangle(
        (left, top, left + width, top + height), outline=MARK, width=max(4, image.width // 80)
    )
    return marked


def _cell(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    cell: Cell,
    left: int,
    top: int,
    *,
    outline: tuple[int, int, int] | None,
) -> None:
    picture = ImageOps.contain(cell.image.convert("RGB"), (CELL, CELL), Image.Resampling.LANCZOS)
    x = left + (CELL - picture.width) // 2
    y = top + (CELL - picture.height) // 2
    sheet.paste(picture, (x, y))
    if outline is not None:
        frame = (x - 3, y - 3, x + picture.width + 2, y + picture.height + 2)
        pen.rectangle(frame, outline=outline, width=3)
    for number, line in enumerate(cell.lines[:2]):
        font = ImageFont.load_default(12)
        text = line if pen.textlength(line, font) <= CELL else _shorten(pen, line, font)
        pen.text((left, top + CELL + 4 + 15 * number), text, INK if not number else FAINT, font)


def _shorten(
    pen: ImageDraw.ImageDraw, line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    while line and pen.textlength(line + "...", font) > CELL:
        line = line[:-1]
    return line + "..."
