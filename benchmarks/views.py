"""What several views of each photo find that the whole does not, and what they cost.

python -m benchmarks.views --json [--photos 400] [--space builtin]

Synthetic composites: an object, which is a photograph shipped with scikit-image or scikit-learn or
a part of one, is pasted into a busy picture at a random place, a quarter to a half as wide. The
query is another crop of the object alone; a hit is right if it holds the object. The same photos,
queries and flat index each time; only the views differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import finish, print_table
from photoorg.config import EncoderConfig, IndexConfig
from photoorg.encoders.crops import encode_photos
from photoorg.encoders.spaces import load_spec, open_encoder
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.photo_ids import as_keys, hex_ids
from photoorg.index.shard import open_shard
from photoorg.index.slot import ShardSlot

K = 10
SETS = {
    "full": ("full",),
    "full_grid2": ("full", "grid2"),
    "full_centre_grid2": ("full", "centre", "grid2"),
    "full_grid2_grid3": ("full", "grid2", "grid3"),
}
SIDE = 448
Rgb = NDArray[np.uint8]


def photographs() -> list[Image.Image]:
    """Pictures that the packages ship, at least 256 pixels wide and high."""
    found = []
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        for path in sorted(Path(str(files(package))).joinpath(folder).iterdir()):
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                with Image.open(path) as image:
                    picture = image.convert("RGB")
                if min(picture.size) >= 256:
                    found.append(picture)
    return found


def objects(rng: np.random.Generator) -> list[Image.Image]:
    """Square parts of the photographs, each as if it were a thing of its own."""
    found = []
    for picture in photographs():
        side = min(picture.size) // 2
        for left, top in ((0, 0), (picture.width - side, picture.height - side)):
            found.append(picture.crop((left, top, left + side, top + side)).resize((256, 256)))
    return [found[i] for i in rng.permutation(len(found))]


def composite(rng: np.random.Generator, thing: Image.Image) -> Rgb:
    """The object in a picture full of other things: smooth patches of every size and colour."""
    sheet = Image.new("RGB", (SIDE * 4 // 3, SIDE))
    for _ in range(24):
        noise = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        size = tuple(int(v) for v in rng.integers(80, 320, 2))
        place = (int(rng.integers(-80, sheet.width)), int(rng.integers(-80, sheet.height)))
        patch = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        sheet.paste(patch.rotate(float(rng.uniform(0, 90))), place)
    side = int(SIDE * rng.uniform(0.3, 0.55))
    left = int(rng.integers(0, sheet.width - side))
    top = int(rng.integers(0, sheet.height - side))
    sheet.paste(thing.resize((side, side)), (left, top))
    return np.asarray(sheet)


def query(rng: np.random.Generator, thing: Image.Image) -> Rgb:
    """Most of the object, framed a little differently."""
    side = 220
    left, top = (int(v) for v in rng.integers(0, 256 - side, 2))
    return np.asarray(thing.crop((left, top, left + side, top + side)))


def measure(
    views: tuple[str, ...], space: str, images: list[Rgb], asked: list[Rgb], right: NDArray[Any]
) -> dict[str, float]:
    """Embed, index and ask with these views: quality and cost."""
    spec = json.loads(load_spec(space).model_dump_json()) | {"views": views}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "views.yaml"
        file.write_text(json.dumps(spec))
        encoder = open_encoder(EncoderConfig(space=str(file)), name)
        started = time.perf_counter()
        x_nw = np.concatenate(
            [encode_photos(encoder, images[i : i + 32]) for i in range(0, len(images), 32)]
        )
        embedding_s = time.perf_counter() - started
        ids = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(len(images))]
        config = IndexConfig(shards=1, threads=1)
        batch = [(as_keys(ids), x_nw)]
        manifest = build_local(batch, Path(name), encoder.space, config, version="v")
        views_each = len(encoder.space.views)
        delta = Delta(encoder.space.dim, views=views_each)
        slot = ShardSlot(open_shard(Path(name), manifest, 0), delta)
        row = {photo_id: i for i, photo_id in enumerate(hex_ids(as_keys(ids)))}
        queries = encoder.encode_images(asked)
        took, hits = [], []
        for x_d in queries:
            started = time.perf_counter()
            (near,) = slot.nearest(x_d[None], K)
            took.append(time.perf_counter() - started)
            hits.append([row[i] for i in near.ids])
    precision, found = [], []
    for number, rows in enumerate(hits):
        good = right[number, rows]
        ranks = np.cumsum(good) / np.arange(1, len(rows) + 1)
        precision.append(float((ranks * good).sum() / min(K, right[number].sum())))
        found.append(bool(good.any()))
    return {
        "map_at_10": float(np.mean(precision)),
        "success_at_10": float(np.mean(found)),
        "vectors_per_photo": float(views_each),
        "embedded_per_second": len(images) / embedding_s,
        "queries_per_second": 1 / float(np.median(took)),
    }


def main() -> None:
    """Run it and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the JSON line is printed in any case")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--space", default="builtin")
    args = parser.parse_args()
    rng = np.random.default_rng(11)
    things = objects(rng)
    of_photo = np.arange(args.photos) % len(things)
    images = [composite(rng, things[i]) for i in of_photo]
    asked = [query(rng, thing) for thing in things]
    right = of_photo[None, :] == np.arange(len(things))[:, None]
    results = {
        name: measure(views, args.space, images, asked, right) for name, views in SETS.items()
    }
    for name, found in results.items():
        print_table(name, list(found.items()))
        print()
    plain, best = results["full"], results["full_centre_grid2"]
    finish(
        "views",
        {
            "space": args.space,
            "photos": args.photos,
            "objects": len(things),
            "results": {n: {k: round(v, 4) for k, v in r.items()} for n, r in results.items()},
            "map_gain": best["map_at_10"] - plain["map_at_10"],
            "success_gain": best["success_at_10"] - plain["success_at_10"],
            "qps_ratio": best["queries_per_second"] / plain["queries_per_second"],
        },
    )


if __name__ == "__main__":
    main()
