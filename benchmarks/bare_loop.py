"""The limit of the ingest benchmark: plain processes that decode, hash and embed, and no more.

No Ray, no Arrow, no store and no catalog; the same decoder, hashes and encoder as the pipeline.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from pathlib import Path

from photoorg.config import PhotoOrgConfig, load
from photoorg.encoders.spaces import open_encoder
from photoorg.imaging.guard import GuardedDecoder
from photoorg.imaging.hashes import hash_image


def work(config: PhotoOrgConfig, files: list[Path]) -> None:
    """One process's share of the files, in the pipeline's micro-batches."""
    encoder = open_encoder(config.encoder, config.models_dir)
    decoder = GuardedDecoder(config.imaging)
    step = config.ingest.micro_batch
    for at in range(0, len(files), step):
        images = []
        for file in files[at : at + step]:
            decoded = decoder.decode(file.read_bytes(), short_side=config.imaging.short_side)
            hash_image(decoded.rgb)
            images.append(decoded.rgb)
        encoder.encode_images(images)


def main() -> None:
    """`python -m benchmarks.bare_loop FOLDER PROCESSES`: seconds, start of processes included."""
    files = sorted(Path(sys.argv[1]).iterdir())
    processes = int(sys.argv[2])
    config = load()
    encoder = config.encoder.model_copy(update={"threads": 1})
    config = config.model_copy(update={"encoder": encoder})
    started = time.monotonic()
    spawn = multiprocessing.get_context("spawn")
    running = [
        spawn.Process(target=work, args=(config, files[n::processes])) for n in range(processes)
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert all(process.exitcode == 0 for process in running), "a bare process failed"
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "images_per_second": len(files) / seconds}))


if __name__ == "__main__":
    main()
