"""Videos of live photos: recognised among the files, and joined with their stills."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from photoorg.imaging.pairing import Shot, ShotKind, live_photo_pairs
from photoorg.imaging.quicktime import read_movie
from photoorg.imaging.sniff import is_raw, video_type
from photoorg.models import Exif, Rejection
from photoorg.schema import COMPANION, LIVE_VIDEO
from photoorg.stages import rows
from photoorg.store.catalog import Catalog, Transaction, companions
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore


class FindVideos:
    """Adds `companion`: what a live photo's video is; its row is a reject until its still is known.

    Nothing but an identifier that the camera wrote makes a video one of a live photo; others stay
    what they are and are refused by Decode. With `keep` the bytes go to the tenant's blobs, for by
    the time the still comes the file may be gone.
    """

    def __init__(self, store: ObjectStore, tenant: str, *, keep: bool, threads: int) -> None:
        self._store = store
        self._tenant = tenant
        self._keep = keep
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="videos")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with `data` in, the same rows with `companion` (mostly null) out."""
        found: dict[int, dict[str, object]] = {}
        failed: dict[int, Rejection] = {}
        for row, video in zip(*self._videos(table), strict=True):
            if isinstance(video, Rejection):
                failed[row] = video
            elif video is not None:
                found[row] = video
                failed[row] = _waits(table["uri"][row].as_py(), str(video["content_id"]))
        cells = rows.scatter(len(table), found)
        table = rows.set_column(table, "companion", cells, COMPANION)
        return rows.mark_rejected(table, failed)

    def _videos(
        self, table: pa.Table
    ) -> tuple[list[int], list[dict[str, object] | Rejection | None]]:
        """Rows that hold a video, and what is known of each: None where it is no live photo's."""
        data, uris = table["data"], table["uri"]
        kinds = {row: video_type(bytes(data[row].as_buffer()[:512])) for row in rows.live(table)}
        videos = [row for row, mime in kinds.items() if mime is not None]

        def look(row: int) -> dict[str, object] | Rejection | None:
            try:
                return self._look(data[row].as_py(), str(kinds[row]))
            except Exception as error:  # the end of a row
                return rows.rejection(uris[row].as_py(), "store", error)

        return videos, list(self._pool.map(look, videos))

    def _look(self, data: bytes, mime: str) -> dict[str, object] | None:
        movie = read_movie(io.BytesIO(data))
        if not movie.content_id:
            return None
        companion_id = hashlib.sha256(data).hexdigest()
        if self._keep:
            self._store.write(blob_path(self._tenant, companion_id), data, if_absent=True)
        return {
            "companion_id": companion_id,
            "content_id": movie.content_id,
            "mime": mime,
            "size": len(data),
            "duration_s": movie.duration_s,
        }


def pair_videos(catalog: Catalog, tenant: str) -> int:
    """Join every still with the videos of its identifier, however they came; how many pairs."""
    with catalog.tenant(tenant) as tx:
        return join(tx)


def join(tx: Transaction, photo_id: str | None = None) -> int:
    """The same in a transaction, of one still only where it is named."""
    companions.lock(tx)
    links = []
    for one in companions.unpaired(tx, photo_id):
        exif = Exif(content_id=one.content_id)
        kind: ShotKind = "raw" if is_raw(one.photo_mime) else "still"
        still = Shot(one.photo_id, one.photo_uri, kind, one.photo_mime, exif)
        video = Shot(
            one.companion_id,
            one.companion_uri,
            "video",
            one.companion_mime,
            exif,
            duration_s=one.duration_s,
        )
        for pair in live_photo_pairs([still, video]):
            links.append(
                companions.Link(pair.first_id, pair.second_id, pair.confidence, pair.evidence)
            )
    if links or photo_id is None:
        companions.link(tx, links)
    return len(links)


def _waits(uri: str, content_id: str) -> Rejection:
    return Rejection(
        uri,
        "pair",
        "This is the video of a live photo whose still is not in the library "
        f"(its identifier is {content_id}). It joins the still as soon as that is ingested.",
        code=LIVE_VIDEO,
    )
