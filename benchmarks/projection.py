"""A trained projection against the frozen encoder it stands on, on photos it never saw.

python -m benchmarks.projection --json [--n 600] [--photos DIR]

One half of the photos teaches the head by random views. Of the other half the project's edit
generator makes four edits each, unlike those views; photo and edits look for each other. The space
is the one PHOTOORG_ENCODER__SPACE names, builtin where it names none.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np

from benchmarks.edits import border, crop, filtered, sources, turn_a_little
from benchmarks.report import finish, print_table
from photoorg.config import load
from photoorg.encoders.spaces import open_encoder
from photoorg.evaluate.retrieval import score
from photoorg.learn.augment import Augmentation
from photoorg.learn.contrastive import train_head

EDITS = (crop, filtered, turn_a_little, border)


def main() -> None:
    """Measure and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=600, help="photos, half of them to learn from")
    parser.add_argument("--photos", type=Path, help="a folder (default: shipped and synthetic)")
    parser.add_argument("--strength", type=float, default=0.8, help="of the edits, 0..1")
    args = parser.parse_args()
    os.environ.setdefault("PHOTOORG_ENCODER__SPACE", "builtin")
    config = load()
    encoder = open_encoder(config.encoder, config.models_dir)
    photos = [image.convert("RGB") for _, image in sources(args.photos, args.n, 1)]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(photos))
    taught, asked = np.split(order, [len(order) // 2])
    views = [Augmentation().views(np.asarray(photos[i]), rng) for i in taught]
    started = time.monotonic()
    trained = train_head(
        encoder.encode_images([a for a, _ in views]),
        encoder.encode_images([b for _, b in views]),
        encoder.space.id,
        config.train,
    )
    seconds = time.monotonic() - started
    shown = [
        (np.asarray(made), str(i))
        for i in asked
        for made in (photos[i], *(edit(photos[i], rng, args.strength) for edit in EDITS))
    ]
    plain = encoder.encode_images([image for image, _ in shown])
    labels = [label for _, label in shown]
    before, after = score(plain, labels), score(trained.head(plain), labels)
    result = {
        "map_at_10_before": before.map_at_k,
        "map_at_10_after": after.map_at_k,
        "ndcg_at_10_before": before.ndcg_at_k,
        "ndcg_at_10_after": after.ndcg_at_k,
        "views_ndcg_at_10_before": trained.before.ndcg_at_k,
        "views_ndcg_at_10_after": trained.after.ndcg_at_k,
        "epochs": trained.epochs,
        "train_seconds": seconds,
        "taught": len(taught),
        "asked": len(asked),
        "strength": args.strength,
        "space": encoder.space.id,
    }
    print_table("projection", list(result.items()))
    finish("projection", result)


if __name__ == "__main__":
    main()
