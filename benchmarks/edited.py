"""Facts, vectors and pictures of a folder of files in this process, as the job would have them."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from photoorg.config import EncoderConfig, IndexConfig
from photoorg.curate.facts import Facts
from photoorg.curate.neighbours import Neighbours
from photoorg.encoders.spaces import open_encoder
from photoorg.imaging.exif import read_exif
from photoorg.imaging.hashes import hash_image
from photoorg.imaging.quality import measure
from photoorg.store.catalog.photo_facts import CLOCKS, FIELDS


class Folder:
    """Distinct files of a folder with truth.csv; `labels` and `names` are in the order of facts."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        truth = {row["file"]: row["group"] for row in csv.DictReader((folder / "truth.csv").open())}
        self.encoder = encoder = open_encoder(EncoderConfig(space="builtin"), "")
        rows, vectors = [], []
        self._small: dict[str, NDArray[np.uint8]] = {}
        self.names, self.labels = [], []
        for name, label in truth.items():
            data = (folder / name).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            if digest in self._small:
                continue  # the same bytes are the same photo
            with Image.open(io.BytesIO(data)) as opened:
                block = opened.info.get("exif", b"")
                image = ImageOps.exif_transpose(opened).convert("RGB")
            rgb = np.asarray(image)
            rows.append(_row(data, rgb, block))
            vectors.append(encoder.encode_images([rgb])[0])
            image.thumbnail((400, 400))
            self._small[digest] = np.asarray(image)
            self.names.append(name)
            self.labels.append(label)
        self.facts = Facts.of(np.array(rows, np.dtype(list(FIELDS))))
        batches = [(self.facts.keys, np.asarray(vectors, np.float16))]
        config = IndexConfig(recall_sample=10)
        self.visual = Neighbours.build(batches, self.facts.keys, encoder.space, config, scratch)

    def gray(self, photo_id: str) -> NDArray[np.uint8] | None:
        """Luminance of a file by the sha256 of its bytes."""
        rgb = self._small.get(photo_id)
        return None if rgb is None else np.asarray(Image.fromarray(rgb).convert("L"))

    def rgb(self, photo_id: str) -> NDArray[np.uint8] | None:
        """The same file in colour."""
        return self._small.get(photo_id)


def _row(data: bytes, rgb: NDArray[np.uint8], block: bytes) -> tuple[object, ...]:
    hashes, exif = hash_image(rgb), read_exif(block)
    height, width = rgb.shape[:2]
    known = exif.captured_at is not None and exif.captured_source in CLOCKS
    taken = exif.captured_at.timestamp() if known and exif.captured_at else float("nan")
    camera = int.from_bytes(hashlib.sha256(exif.model.encode()).digest()[:7]) if exif.model else 0
    return (
        hashlib.sha256(data).digest(),
        hashes.pdq,
        hashes.pdq_quality,
        hashes.phash,
        width,
        height,
        len(data),
        4,
        taken,
        camera,
        0,
        measure(rgb, width, height).score,
        False,
        False,
        exif.model is not None,
        0.0,
    )
