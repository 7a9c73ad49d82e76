"""A comparison as a picture for people: drawn with Pillow, no plotting library needed."""

from __future__ import annotations

import io
from typing import Any

from photoorg.search.comparing import Comparison

WIDTH, HEIGHT = 900, 420
INK, FAINT, GOOD, BAD = "#222222", "#cccccc", "#2a7f62", "#b3392f"
BARS = 11
LEFT, TOP, CHART_W, CHART_H = 60, 90, 380, 260


def draw(found: Comparison) -> bytes:
    """A PNG: how the overlaps are spread, and every gate with its limit."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(image)
    pen.text((30, 18), f"{found.candidate_space}  {found.candidate}", INK)
    pen.text((30, 36), f"against  {found.serving_space}  {found.serving}", INK)
    verdict = "all gates passed" if found.passed else "gates not passed"
    pen.text((520, 18), verdict, GOOD if found.passed else BAD)
    _spread(pen, found)
    _gates(pen, found)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _spread(pen: Any, found: Comparison) -> None:
    counts = [0] * BARS
    for value in found.overlaps:
        counts[min(BARS - 1, round(value * (BARS - 1)))] += 1
    most, wide = max(1, *counts), CHART_W // BARS
    pen.text((LEFT, TOP - 22), f"overlap@{found.k} of {found.queries} queries", INK)
    for number, count in enumerate(counts):
        x, tall = LEFT + number * wide, CHART_H * count / most
        box = (x + 3, TOP + CHART_H - tall, x + wide - 3, TOP + CHART_H)
        pen.rectangle(box, fill=GOOD)
        pen.text((x + 6, TOP + CHART_H + 6), f"{number / (BARS - 1):.1f}", INK)
        if count:
            pen.text((x + 6, TOP + CHART_H - tall - 14), str(count), INK)
    pen.line((LEFT, TOP + CHART_H, LEFT + CHART_W, TOP + CHART_H), fill=FAINT)


def _gates(pen: Any, found: Comparison) -> None:
    for row, gate in enumerate(found.gates):
        y = TOP + row * 34
        pen.ellipse((520, y + 1, 532, y + 13), fill=GOOD if gate.passed else BAD)
        pen.text((545, y), gate.name.replace("_", " "), INK)
        pen.text((700, y), f"{gate.value:g}", INK)
        pen.text((780, y), f"limit {gate.limit:g}", FAINT if gate.passed else BAD)
