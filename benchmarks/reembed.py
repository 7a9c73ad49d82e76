"""Re-embedding against its limit: a bare loop that reads, decodes and embeds the same photos.

python -m benchmarks.reembed --json [--n 600] [--space NAME]

Both run in this process, in turns over halves of the photos: Reembed with its checks, its tables
and its commits, and the loop with none of that. The space is the one PHOTOORG_ENCODER__SPACE names.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.photos import folder
from benchmarks.report import finish, print_table
from photoorg.config import PhotoOrgConfig, StorageConfig, load
from photoorg.encoders.base import Encoder
from photoorg.encoders.spaces import open_encoder
from photoorg.imaging.guard import GuardedDecoder
from photoorg.stages.reembedding import KEY_SCHEMA, KEYS, REEMBED, ReembedParts
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

DAY_S = 86_400
TURNS = 4


def bare(config: PhotoOrgConfig, encoder: Encoder, files: list[Path]) -> float:
    """Seconds of the bare loop."""
    decoder = GuardedDecoder(config.imaging)
    step = config.ingest.micro_batch
    started = time.perf_counter()
    for at in range(0, len(files), step):
        encoder.encode_images(
            [
                decoder.decode(file.read_bytes(), short_side=config.imaging.short_side).rgb
                for file in files[at : at + step]
            ]
        )
    return time.perf_counter() - started


def ours(
    config: PhotoOrgConfig, encoder: Encoder, store: ObjectStore, files: list[Path], turn: int
) -> float:
    """Seconds of the job's worker over one part, its commit included."""
    import hashlib

    import pyarrow as pa

    version = f"bench-{turn}"
    ids = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    keys = pa.table([ids, [file.as_uri() for file in files]], schema=KEY_SCHEMA)
    Run(store, run_dir(config.tenant, REEMBED, version)).write_part(0, keys, name=KEYS)
    parts = ReembedParts(config, store, encoder, version)
    started = time.perf_counter()
    done = parts.work(0)
    assert done["rejects"] == 0, "every picture can be embedded"
    return time.perf_counter() - started


def main() -> None:
    """Time both in turns and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--space")
    args = parser.parse_args()
    config = load()
    space = args.space or (config.encoder.space if config.encoder.space != "auto" else "builtin")
    chosen = config.encoder.model_copy(update={"space": space, "threads": 1})
    config = config.model_copy(update={"encoder": chosen})
    encoder = open_encoder(config.encoder, config.models_dir)
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(folder(Path(scratch) / "photos", args.n).iterdir())
        store = ObjectStore(StorageConfig(root=str(Path(scratch) / "store")))
        bare(config, encoder, files[:64])
        shares = [files[turn::TURNS] for turn in range(TURNS)]
        pairs = [
            (bare(config, encoder, share), ours(config, encoder, store, share, turn))
            for turn, share in enumerate(shares)
        ]
    limit, reached = (args.n / sum(pair[i] for pair in pairs) for i in (0, 1))
    result = {
        "share_of_bare_loop": float(np.median([b / o for b, o in pairs])),
        "images_per_second": reached,
        "bare_images_per_second": limit,
        "images_per_day": round(reached * DAY_S),
        "n": args.n,
        "space": encoder.space.id,
        "config": {"processes": 1, "threads": 1, "pixels": "1632x1224"},
    }
    print_table("re-embedding, one process", [(k, v) for k, v in result.items()])
    finish("reembed", result)


if __name__ == "__main__":
    main()
