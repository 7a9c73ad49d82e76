"""Bytes in, upright pixels and metadata out: the stages that touch the original file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from photoorg import schema
from photoorg.config import SourceConfig
from photoorg.errors import DecodeError
from photoorg.imaging.exif import read_exif
from photoorg.models import Decoded, Rejection
from photoorg.stages import rows
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from photoorg.store.sources import read_source


class ImageDecoder(Protocol):
    """What Decode needs of a decoder; photoorg.imaging has the real ones."""

    def decode(self, data: bytes, *, short_side: int, long_side: int = 0) -> Decoded:
        """Upright pixels of one file."""


class Fetch:
    """Adds `data`: the bytes behind each uri. A file that is gone or too large is a reject."""

    def __init__(self, source: SourceConfig, *, max_bytes: int, threads: int) -> None:
        self._source = source
        self._max_bytes = max_bytes
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch")

    def __call__(self, table: pa.Table) -> pa.Table:
        """KEYS rows in, the same rows with `data` (large_binary) out."""
        table = rows.start(table)
        uris = table["uri"].to_pylist()
        found = list(self._pool.map(self._fetch, uris))
        data = [item if isinstance(item, bytes) else None for item in found]
        table = rows.set_column(table, "data", data, pa.large_binary())
        failed = {i: item for i, item in enumerate(found) if isinstance(item, Rejection)}
        return rows.mark_rejected(table, failed)

    def _fetch(self, uri: str) -> bytes | Rejection:
        try:
            return read_source(uri, self._source, max_bytes=self._max_bytes)
        except Exception as error:  # the end of a row
            return rows.rejection(uri, "fetch", error)


class Decode:
    """Consumes `data`; adds identity, size and `rgb` scaled for the stages that follow.

    The pixels of a row are upright sRGB with a short side of at least `short_side` and a long side
    of at least `long_side`, never enlarged. With `keep_data` the bytes stay for KeepOriginal.
    """

    def __init__(
        self, decoder: ImageDecoder, *, short_side: int, long_side: int = 0, keep_data: bool = False
    ) -> None:
        self._decoder = decoder
        self._short_side = short_side
        self._long_side = long_side
        self._keep_data = keep_data

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with `data` in, rows with pixels and PHOTOS' identity columns out."""
        data = table["data"]
        done, failed = rows.per_row(
            table, "decode", rows.live(table), lambda i: self._decode(data[i].as_py())
        )
        count = len(table)
        ids = {i: item[0] for i, item in done.items()}
        photos = {i: item[1] for i, item in done.items()}
        sizes = {i: len(data[i].as_buffer()) for i in done}
        # Null, not absent: a rejected row still has to fit the schema of its part.
        table = rows.set_column(table, "photo_id", rows.scatter(count, ids), pa.string())
        table = rows.set_column(table, "size", rows.scatter(count, sizes), pa.int64())
        table = rows.add_records(table, photos, ["mime", "width", "height", "frames", "decoder"])
        table = rows.set_column(
            table, "exif_block", rows.scatter(count, photos, "exif"), pa.binary()
        )
        table = _add_pixels(table, photos)
        if not self._keep_data:
            table = table.drop_columns(["data"])
        return rows.mark_rejected(table, failed)

    def _decode(self, data: bytes) -> tuple[str, Decoded]:
        if not data:
            raise DecodeError("The file is empty (zero bytes).")
        decoded = self._decoder.decode(data, short_side=self._short_side, long_side=self._long_side)
        return hashlib.sha256(data).hexdigest(), decoded


def _add_pixels(table: pa.Table, photos: Mapping[int, Decoded]) -> pa.Table:
    count = len(table)
    pixels = rows.pixel_array(count, {i: photo.rgb for i, photo in photos.items()})
    heights = rows.scatter(count, {i: p.rgb.shape[0] for i, p in photos.items()})
    widths = rows.scatter(count, {i: p.rgb.shape[1] for i, p in photos.items()})
    table = rows.set_column(table, "rgb", pixels, pa.large_binary())
    table = rows.set_column(table, "rgb_height", heights, pa.int32())
    return rows.set_column(table, "rgb_width", widths, pa.int32())


class KeepOriginal:
    """Consumes `data`: copies the originals into the tenant's blobs, once per content."""

    def __init__(self, store: ObjectStore, tenant: str, *, threads: int) -> None:
        self._store = store
        self._tenant = tenant
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="blobs")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with `data` in, rows without out; a write that fails is a retryable reject."""
        todo = rows.live(table)
        data, ids = table["data"], table["photo_id"]

        def keep(row: int) -> Rejection | None:
            try:
                path = blob_path(self._tenant, ids[row].as_py())
                self._store.write(path, data[row].as_py(), if_absent=True)
                return None
            except Exception as error:  # the end of a row
                return rows.rejection(table["uri"][row].as_py(), "store", error)

        results = zip(todo, self._pool.map(keep, todo), strict=True)
        failed = {row: why for row, why in results if why is not None}
        return rows.mark_rejected(table.drop_columns(["data"]), failed)


class ReadExif:
    """Consumes `exif_block`; adds capture time with provenance, place and camera."""

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with the raw block in, rows with the EXIF columns of PHOTOS out."""
        blocks, uris = table["exif_block"], table["uri"]
        times = table["modified_at"].to_pylist()

        def read(row: int) -> object:
            name = str(uris[row].as_py()).rsplit("/", 1)[-1]
            when: datetime | None = times[row]
            return read_exif(blocks[row].as_py() or b"", filename=name, file_time=when)

        done, failed = rows.per_row(table, "exif", rows.live(table), read)
        table = rows.add_records(table.drop_columns(["exif_block"]), done, schema.EXIF)
        return rows.mark_failed(table, failed)
