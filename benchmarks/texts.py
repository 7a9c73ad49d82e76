"""Pictures with and without written words: seeded, with the words they show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.photos import photograph

VOCABULARY = """
invoice total street harbour meeting holiday coffee market garden bridge ticket platform welcome
exit museum library station airport bakery hospital summer winter monday friday receipt number
parking closed open water danger bicycle forest island village concert theatre football recipe
chapter kitchen window letter picture camera notebook printer customer address delivery
""".split()
INK = ((250, 250, 250), (15, 15, 15), (230, 40, 30), (20, 60, 170), (240, 210, 60))


def written(seed: int, width: int, height: int) -> tuple[Image.Image, list[str]]:
    """A photo-like picture with 1 to 9 words on it, as a sign, a caption or a page; and the words.

    Letters are 1.6% to 8% of the picture's height; some lines are tilted by up to 12 degrees.
    """
    rng = np.random.default_rng([1, seed])
    image = photograph(seed, width, height)
    words = [str(w) for w in rng.choice(VOCABULARY, int(rng.integers(1, 10)), replace=False)]
    lines = [words[at : at + 3] for at in range(0, len(words), 3)]
    size = int(height * np.exp(rng.uniform(np.log(0.016), np.log(0.08))))
    plate = bool(rng.random() < 0.6)
    block = _block([" ".join(line) for line in lines], max(8, size), rng, plate=plate)
    if rng.random() < 0.4:
        block = block.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BICUBIC, expand=True)
    scale = min(1.0, (width - 8) / block.width, (height - 8) / block.height)
    if scale < 1:
        block = block.resize((int(block.width * scale), int(block.height * scale)))
    x = int(rng.integers(0, width - block.width))
    y = int(rng.integers(0, height - block.height))
    image.paste(block, (x, y), block)
    return image, words


def plain(seed: int, width: int, height: int) -> Image.Image:
    """A picture without a word: texture, or texture with what looks a little like writing.

    Three in four hold a fence, bricks, windows or leaves, which have strokes of their own.
    """
    rng = np.random.default_rng([2, seed])
    image = photograph(10_000 + seed, width, height, grain=float(rng.uniform(0, 0.06)))
    kind = seed % 4
    if kind:
        draw = ImageDraw.Draw(image)
        (_fence, _bricks, _leaves)[kind - 1](draw, rng, width, height)
    return image


def _block(lines: list[str], size: int, rng: np.random.Generator, *, plate: bool) -> Image.Image:
    font = ImageFont.load_default(size)
    boxes = [font.getbbox(line) for line in lines]
    step = int(size * 1.4)
    width = int(max(box[2] for box in boxes)) + size
    block = Image.new("RGBA", (width, step * len(lines) + size), (0, 0, 0, 0))
    draw = ImageDraw.Draw(block)
    ink = INK[int(rng.integers(len(INK)))]
    light = sum(ink) > 380
    if plate:
        around = (30, 34, 40, 255) if light else (236, 234, 226, 255)
        draw.rectangle((0, 0, block.width, block.height), fill=around)
    for number, line in enumerate(lines):
        place = (size // 2, size // 2 + number * step)
        edge = (0, 0, 0) if light else (255, 255, 255)
        stroke = 0 if plate else max(1, size // 16)
        draw.text(place, line, font=font, fill=ink, stroke_width=stroke, stroke_fill=edge)
    return block


def _fence(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    step, bar = int(rng.integers(14, 60)), int(rng.integers(3, 12))
    top, bottom = sorted(int(v) for v in rng.integers(0, height, 2))
    shade = tuple(int(v) for v in rng.integers(0, 256, 3))
    for x in range(0, width, step):
        draw.rectangle((x, top, x + bar, bottom), fill=shade)


def _bricks(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    rows, shade = int(rng.integers(16, 50)), tuple(int(v) for v in rng.integers(60, 256, 3))
    for number, y in enumerate(range(0, height // 2, rows)):
        draw.line((0, y, width, y), fill=shade, width=2)
        for x in range((number % 2) * rows, width, rows * 2):
            draw.line((x, y, x, y + rows), fill=shade, width=2)


def _leaves(draw: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, height: int) -> None:
    for x, y, angle in _scattered(rng, width, height):
        size = int(rng.integers(4, 28))
        end = (x + size * np.cos(angle), y + size * np.sin(angle))
        shade = tuple(int(v) for v in rng.integers(0, 200, 3))
        draw.line((x, y, *end), fill=shade, width=int(rng.integers(1, 6)))


def _scattered(
    rng: np.random.Generator, width: int, height: int
) -> Iterator[tuple[float, float, float]]:
    for _ in range(int(rng.integers(200, 900))):
        yield rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
