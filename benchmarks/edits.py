"""Edits of photographs with known groups: what duplicate detection is measured on.

python -m benchmarks.edits FOLDER [--from PHOTOS] [--photos 60] [--seed 0]

Every photograph becomes a group: itself and edits of random strength. Beside them lie photographs
in no group: strangers, other shots (a camera that moved between two exposures, some seconds apart
by EXIF) and other moments (something moved, left or came), which look alike and are no duplicates.
truth.csv says who is who. Without --from, sources are the photographs that scikit-image and
scikit-learn ship, parts of the large ones, and textured pictures made from seeds.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from benchmarks.moments import moment
from benchmarks.photos import photograph

LONG_SIDE = 1024
PARTS_FROM = 900
CAMERA = ("Benchmark", "Model 1")
NOT_PHOTOS = ("horse", "logo", "multipage", "multipage_rgb", "phantom", "text", "page", "color")
WHEN = datetime(2024, 5, 1, 12)
Edit = Callable[[Image.Image, np.random.Generator, float], Image.Image]


def reencode(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """JPEG of quality 85 down to 15."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=round(85 - 70 * strength))
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def resize(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Down to 80% .. 20% of each side."""
    scale = 0.8 - 0.6 * strength
    size = max(64, round(image.width * scale)), max(64, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def crop(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """95% .. 60% of each side, anywhere."""
    share = 0.95 - 0.35 * strength
    width, height = round(image.width * share), round(image.height * share)
    x = int(rng.integers(0, image.width - width + 1))
    y = int(rng.integers(0, image.height - height + 1))
    return image.crop((x, y, x + width, y + height))


def filtered(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """One of: warm tint, more colour, blur, sharpening, harder contrast."""
    kind = int(rng.integers(5))
    if kind == 0:
        warm = np.asarray(image, np.float32) * [1 + 0.3 * strength, 1.0, 1 - 0.3 * strength]
        return Image.fromarray(np.clip(warm, 0, 255).astype(np.uint8))
    if kind == 1:
        return ImageEnhance.Color(image).enhance(1.3 + strength)
    if kind == 2:
        return image.filter(ImageFilter.GaussianBlur(0.5 + 3 * strength))
    if kind == 3:
        return image.filter(ImageFilter.UnsharpMask(3, round(80 + 200 * strength), 2))
    return ImageEnhance.Contrast(image).enhance(1.2 + 0.6 * strength)


def turn_a_little(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """1 .. 10 degrees either way, the corners filled or cut off."""
    angle = (1 + 9 * strength) * (1 if rng.random() < 0.5 else -1)
    turned = image.rotate(angle, Image.Resampling.BICUBIC, expand=False)
    if rng.random() < 0.5:
        return turned
    cut = 0.06 + 0.1 * strength
    width, height = image.size
    box = width * cut, height * cut, width * (1 - cut), height * (1 - cut)
    return turned.crop(tuple(round(v) for v in box))


def turn_a_quarter(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """90, 180 or 270 degrees."""
    return image.rotate(90 * int(rng.integers(1, 4)), expand=True)


def mirror(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Left and right exchanged."""
    return ImageOps.mirror(image)


def border(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """A frame of 2% .. 12% of the width."""
    colour = tuple(int(v) for v in rng.integers(0, 256, 3))
    return ImageOps.expand(image, round(image.width * (0.02 + 0.1 * strength)), colour)


def text_over(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Lines of letters on up to 30% of the picture, some on a bar."""
    copy = image.copy()
    draw = ImageDraw.Draw(copy)
    size = image.height * (0.05 + 0.1 * strength)
    for _ in range(1 + int(2 * strength)):
        y = float(rng.uniform(0, image.height - size))
        if rng.random() < 0.5:
            draw.rectangle((0, y, image.width, y + size), fill=(0, 0, 0))
        words = "".join(chr(int(c)) for c in rng.integers(65, 91, 16))
        draw.text((image.width * 0.05, y), words, fill=(255, 255, 255), font_size=size * 0.8)
    return copy


def brightness(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Darker or brighter by 10% .. 50%."""
    by = 0.1 + 0.4 * strength
    return ImageEnhance.Brightness(image).enhance(1 - by if rng.random() < 0.5 else 1 + by)


def grayscale(image: Image.Image, rng: np.random.Generator, strength: float) -> Image.Image:
    """Without colour."""
    return image.convert("L").convert("RGB")


EDITS: dict[str, Edit] = {
    "reencode": reencode,
    "resize": resize,
    "crop": crop,
    "filter": filtered,
    "rotate": turn_a_little,
    "quarter": turn_a_quarter,
    "mirror": mirror,
    "border": border,
    "text": text_over,
    "brightness": brightness,
    "grayscale": grayscale,
}


def other_shot(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The scene a moment later: the camera moved, near things more than far ones, noise anew.

    Depth is a smooth random field; the shift is up to 2.5 to 5% of the width.
    """
    width, height = image.size
    depth = rng.random((5, 5)).astype(np.float32)
    field = Image.fromarray(depth).resize(image.size, Image.Resampling.BICUBIC)
    shift = np.asarray(field) * rng.uniform(0.025, 0.05) * width
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width]
    rows = np.clip(np.round(y + np.sin(direction) * shift), 0, height - 1).astype(int)
    columns = np.clip(np.round(x + np.cos(direction) * shift), 0, width - 1).astype(int)
    pixels = np.asarray(image, np.float32)[rows, columns] * rng.uniform(0.9, 1.1)
    pixels += rng.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def sources(folder: Path | None, count: int, seed: int) -> Iterator[tuple[str, Image.Image]]:
    """Named photographs: those of a folder in random order, else the shipped ones."""
    rng = np.random.default_rng(seed)
    if folder is not None:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        for path in [files[i] for i in rng.permutation(len(files))][:count]:
            image = _opened(path)
            if image is not None:
                yield "-".join(path.relative_to(folder).with_suffix("").parts), image
        return
    shipped = list(_shipped())
    yield from shipped[:count]
    for number in range(max(0, count - len(shipped))):
        width, height = ((1024, 768), (768, 1024))[number % 2]
        yield f"texture{number:03d}", photograph(seed * 1000 + number, width, height)


SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def _shipped() -> Iterator[tuple[str, Image.Image]]:
    import skimage
    import sklearn.datasets

    folders = [Path(skimage.__file__).parent / "data", Path(sklearn.datasets.__file__).parent]
    files = [p for f in folders for p in sorted(f.rglob("*")) if p.suffix in SUFFIXES]
    for path in files:
        if path.stem in NOT_PHOTOS or "chessboard" in path.stem or path.stem == "motorcycle_right":
            continue
        image = _opened(path)
        if image is None:
            continue
        if min(image.size) < PARTS_FROM // 2 or max(image.size) < PARTS_FROM:
            yield path.stem, image
            continue
        # Never the whole beside its parts: those would be crops of it.
        width, height = image.width // 2, image.height // 2
        for n, (x, y) in enumerate(((0, 0), (width, height))):
            yield f"{path.stem}-part{n}", image.crop((x, y, x + width, y + height))


def _opened(path: Path) -> Image.Image | None:
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError):
        return None
    if min(upright.size) < 100:
        return None
    upright.thumbnail((LONG_SIDE, LONG_SIDE))
    return upright


def exif(number: int, at: datetime) -> bytes:
    """Camera and time, as another program or the camera writes them."""
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = CAMERA
    tags.get_ifd(0x8769)[0x9003] = at.strftime("%Y:%m:%d %H:%M:%S")
    return tags.tobytes()


def write(
    target: Path,
    *,
    folder: Path | None = None,
    photos: int = 60,
    edits: int = 6,
    seed: int = 0,
    with_exif: float = 0.5,
) -> list[tuple[str, str, str]]:
    """Write files and truth.csv; (file, group, edit) of each.

    Two thirds of the sources become groups of themselves and `edits` edits (every second edit is
    done twice over), the others strangers; every second group has two other shots beside it, the
    others up to two other moments. Of the files, `with_exif` carry what a camera writes; an edit
    carries what its original has, or nothing where no other shot lies beside it.
    """
    target.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, str]] = []
    names = list(EDITS)
    before: Image.Image | None = None
    for number, (name, image) in enumerate(sources(folder, photos, seed)):
        at = WHEN + timedelta(hours=number)
        tagged = rng.random() < with_exif
        stamp = exif(number, at) if tagged else b""
        grouped = number % 3 != 2
        rows.append(_save(target, f"{name}.jpg", image, name if grouped else "", "original", stamp))
        if not grouped:
            continue
        order = rng.permutation(len(names))
        for n in range(edits):
            kind = names[order[n % len(names)]]
            made = EDITS[kind](image, rng, float(rng.random()))
            if n % 4 == 3:
                more = names[order[(n + 1) % len(names)]]
                made, kind = EDITS[more](made, rng, float(rng.random()) / 2), f"{kind}+{more}"
            # Only clocks tell a shot that moved by a hair from an edit, so both keep theirs.
            kept = stamp if number % 3 == 0 or rng.random() < 0.5 else b""
            rows.append(_save(target, f"{name}-{n}-{kind}.jpg", made, name, kind, kept))
        if number % 3 == 0:
            for n in range(2):
                shot = other_shot(image, rng)
                later = exif(number, at + timedelta(seconds=2 + n)) if tagged else b""
                if tagged:
                    rows.append(_save(target, f"{name}-shot{n}.jpg", shot, "", "shot", later))
        elif before is not None:
            # Numbers of their own, so that all else stays as it is without them.
            own = np.random.default_rng((seed, number))
            for n in range(2):
                another = moment(image, before, own, float(own.random()))
                if another is not None:
                    later = exif(number, at + timedelta(seconds=20 + n)) if tagged and n else b""
                    label = f"{name}-moment{n}-{another[1]}.jpg"
                    rows.append(_save(target, label, another[0], "", "moment", later))
        before = image
    with (target / "truth.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["file", "group"])
        out.writerows((name, group) for name, group, _ in rows)
    return rows


def _save(
    folder: Path, name: str, image: Image.Image, group: str, edit: str, stamp: bytes
) -> tuple[str, str, str]:
    image.save(folder / name, "JPEG", quality=90, exif=stamp)
    return name, group, edit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = write(options.folder, folder=options.source, photos=options.photos, seed=options.seed)
    print(f"{len(rows)} files in {options.folder}")


if __name__ == "__main__":
    main()
