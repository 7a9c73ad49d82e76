"""What the calibrated cutoff of searches lets through: nonsense refused, real queries answered.

python -m benchmarks.cutoffs --json [--photos DIR --space NAME --models DIR] [--seeds 21 22 23]

Made-up spaces: 12,000 unit vectors of 200 subjects in 64 and 512 dimensions, with and without a
direction that all vectors have in common (as in real spaces). Cutoffs are fitted as
`photoorg calibrate search` does; asked are random vectors, vectors of noise with that common
direction, and new vectors of the subjects, whose relevant hits are the photos of the subject among
the first twenty.

Real photos (--photos, any folder; its folders are the classes): four in five are the library. Asked
are edits of them (crop, blur, small rotation), the fifth that was held out, and pictures of nothing
of another seed than those the cutoffs were fitted to.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.report import finish, print_table
from photoorg.config import EncoderConfig
from photoorg.encoders import nonsense
from photoorg.encoders.spaces import open_encoder
from photoorg.index.cutoffs import Cutoffs, best_neighbours, fit_images

Matrix = NDArray[np.float32]
SUBJECTS, PHOTOS, NOISE = 200, 12_000, 1.04
SAMPLE, PROBES, TOP = 1_000, 400, 20
SIDE = 448


def main() -> None:
    options = _options()
    result: dict[str, Any] = {}
    for dim in (64, 512):
        for base in (0.0, 1.0):
            told = [_made_up(dim, base, seed) for seed in options.seeds]
            name = f"d{dim}_{'common' if base else 'plain'}"
            result |= {f"{name}_{k}": float(np.mean([t[k] for t in told])) for k in told[0]}
    if options.photos:
        result |= _real(options)
    print_table("cutoffs", list(result.items()))
    finish("cutoffs", result)


def _made_up(dim: int, base: float, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    common = base * rng.standard_normal(dim) / dim**0.5
    centres = rng.standard_normal((SUBJECTS, dim)) / dim**0.5
    subject_n = rng.integers(0, SUBJECTS, PHOTOS)

    def photos(of: NDArray[np.int64]) -> Matrix:
        return _unit(centres[of] + common + NOISE * rng.standard_normal((len(of), dim)) / dim**0.5)

    x = photos(subject_n)
    found = fitted(x, rng)
    asked = rng.integers(0, SUBJECTS, 500)
    return {
        "random_refused": _refused(_unit(rng.standard_normal((500, dim))), x, found),
        "noise_refused": _refused(
            _unit(common + 1.2 * rng.standard_normal((500, dim)) / dim**0.5), x, found
        ),
        "real_answered": 1 - _refused(q := photos(asked), x, found),
        "relevant_kept": _kept(q, asked, x, subject_n, found),
    }


def _real(options: argparse.Namespace) -> dict[str, float]:
    encoder = open_encoder(EncoderConfig(space=options.space), options.models)
    rng = np.random.default_rng(options.seeds[0])
    files = [p for p in sorted(Path(options.photos).rglob("*")) if p.suffix.lower() in SUFFIXES]
    files = [files[i] for i in rng.permutation(len(files))[: options.most]]
    pictures = [_open(path) for path in files]
    folders = {path.parent: n for n, path in enumerate(files)}
    class_n = np.array([folders[path.parent] for path in files])

    def encode(images: list[Image.Image]) -> Matrix:
        rows = [encoder.encode_images([np.asarray(i.convert("RGB"))])[0] for i in images]
        return np.array(rows, np.float32)

    held = np.arange(len(files)) % 5 == 0
    x = encode([p for p, h in zip(pictures, held, strict=True) if not h])
    new = encode([p for p, h in zip(pictures, held, strict=True) if h])
    noise = np.array([encoder.encode_images([p])[0] for p in nonsense.pictures(32)])
    found = fitted(x, rng, noise)
    others = np.array([encoder.encode_images([p])[0] for p in nonsense.pictures(60, seed=99)])
    own = np.flatnonzero(np.arange(len(x)) % 8 == 0)
    library = [p for p, h in zip(pictures, held, strict=True) if not h]
    edited = encode([_edit(library[i], n) for n, i in enumerate(own)])
    cosines = np.einsum("nd,nd->n", edited, x[own])
    return {
        "photos_library": float(len(x)),
        "photos_cutoff": found.best,
        "photos_floor": found.floor,
        "photos_random_refused": _refused(_unit(rng.standard_normal((500, x.shape[1]))), x, found),
        "photos_noise_refused": _refused(others, x, found),
        "photos_edits_answered": 1 - _refused(edited, x, found),
        "photos_edits_source_kept": float(np.mean(cosines >= found.floor)),
        "photos_held_out_answered": 1 - _refused(new, x, found),
        "photos_relevant_kept": _kept(new, class_n[held], x, class_n[~held], found),
    }


def fitted(x: Matrix, rng: np.random.Generator, noise: Matrix | None = None) -> Cutoffs:
    """As photoorg.stages.cutoffs fits them, over vectors in memory."""
    drawn = x[rng.permutation(len(x))[:SAMPLE]]
    scores = -np.sort(-(drawn[:PROBES] @ x.T), axis=1)[:, :11]
    best = best_neighbours(scores[:, 1:])  # the first is the photo itself
    tops = None if noise is None else (noise @ x.T).max(axis=1).astype(np.float64)
    found = fit_images(drawn, best, len(x), tops)
    assert found is not None, "the library is large enough"
    return found


def _refused(q: Matrix, x: Matrix, found: Cutoffs) -> float:
    return float(np.mean((q @ x.T).max(axis=1) < found.best))


def _kept(q: Matrix, of_q: NDArray[Any], x: Matrix, of_x: NDArray[Any], found: Cutoffs) -> float:
    """Share of relevant hits among the first twenty that the cutoff leaves."""
    scores = q @ x.T
    top = np.argsort(-scores, axis=1)[:, :TOP]
    value = np.take_along_axis(scores, top, 1)
    right = of_x[top] == of_q[:, None]
    shown = (value >= found.floor) & (value[:, :1] >= found.best)
    return float((right & shown).sum() / max(1, right.sum()))


SUFFIXES = (".jpg", ".jpeg", ".png")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.draft("RGB", (SIDE, SIDE))
        image = image.convert("RGB")
        image.thumbnail((2 * SIDE, 2 * SIDE))
        return image


def _edit(image: Image.Image, number: int) -> Image.Image:
    width, height = image.size
    if number % 3 == 0:
        box = (width // 10, height // 10, width - width // 10, height - height // 10)
        return image.crop(box)
    if number % 3 == 1:
        return image.filter(ImageFilter.GaussianBlur(2))
    return image.rotate(3)


def _unit(x: NDArray[Any]) -> Matrix:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cutoffs", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--photos", help="a folder of photos, its folders are classes")
    parser.add_argument("--space", default="builtin", help="encoder for --photos")
    parser.add_argument("--models", default="~/.cache/photoorg/models")
    parser.add_argument("--most", type=int, default=800, help="photos drawn from --photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    return parser.parse_args()


if __name__ == "__main__":
    main()
