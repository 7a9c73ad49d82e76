"""Stages that look at pixels and need no model: hashes, quality, thumbnails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from photoorg import schema
from photoorg.imaging.hashes import hash_image
from photoorg.imaging.quality import measure
from photoorg.imaging.thumbs import thumbnail
from photoorg.models import Rejection, Rgb
from photoorg.stages import rows
from photoorg.store.layout import thumb_path
from photoorg.store.objects import ObjectStore

QUALITY = ("sharpness", "exposure", "contrast", "resolution", ("quality", "score"))


class Hash:
    """Adds `pdq`, `pdq_quality`, `phash`, `dhash` and `ahash`."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with hashes out; the pixels stay."""
        pixels = rows.images(table)
        done, failed = rows.per_row(
            table, "hash", rows.live(table), lambda i: hash_image(pixels[i])
        )
        table = rows.add_records(table, done, schema.HASHES)
        return rows.mark_failed(table, failed)


class MeasureQuality:
    """Adds sharpness, exposure, contrast, resolution and the `quality` score, each 0..1."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with quality out; the pixels stay."""
        pixels = rows.images(table)
        widths, heights = table["width"].to_pylist(), table["height"].to_pylist()
        done, failed = rows.per_row(
            table, "quality", rows.live(table), lambda i: measure(pixels[i], widths[i], heights[i])
        )
        fields: list[str | tuple[str, str]] = [
            "sharpness",
            "exposure",
            "contrast",
            "resolution",
            ("quality", "score"),
        ]
        return rows.mark_failed(rows.add_records(table, done, fields), failed)


class MakeThumbnail:
    """Writes a WebP thumbnail beside the blob and adds `has_thumbnail`."""

    def __init__(
        self, store: ObjectStore, tenant: str, *, px: int, quality: int, threads: int
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._px = px
        self._quality = quality
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="thumbs")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, the same rows with `has_thumbnail` out."""
        pixels, ids = rows.images(table), table["photo_id"].to_pylist()
        done, failed = rows.per_row(
            table, "thumbnail", rows.live(table), lambda i: self._make(pixels[i])
        )

        def write(row: int) -> Rejection | None:
            try:
                self._store.write(thumb_path(self._tenant, ids[row]), done[row])
                return None
            except Exception as error:  # the end of a row
                return rows.rejection(table["uri"][row].as_py(), "thumbnail", error)

        for row, why in zip(done, self._pool.map(write, done), strict=True):
            if why is not None:
                failed[row] = why
        made = [i in done and i not in failed for i in range(len(table))]
        table = rows.set_column(table, "has_thumbnail", made, pa.bool_())
        return rows.mark_failed(table, failed)

    def _make(self, image: Rgb) -> bytes:
        return thumbnail(image, self._px, self._quality)
