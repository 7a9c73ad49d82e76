"""Videos of live photos: recognised among files and uploads, and joined with their stills."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import pyarrow as pa

from photoorg.errors import UnsupportedMediaError
from photoorg.imaging.pairing import Shot, ShotKind, live_photo_pairs
from photoorg.imaging.quicktime import read_movie
from photoorg.imaging.sniff import is_raw, video_type
from photoorg.models import Exif, Rejection
from photoorg.schema import COMPANION, LIVE_VIDEO
from photoorg.stages import rows
from photoorg.stages.promising import promise
from photoorg.store.catalog import Catalog, Transaction, blobs, companions
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class LiveVideo:
    """The video of a live photo; `companion_id` is the sha256 of its bytes."""

    companion_id: str
    content_id: str
    mime: str
    size: int
    duration_s: float | None


def live_video(data: bytes, *, max_seconds: float) -> LiveVideo | None:
    """What is known of a live photo's video; None if the bytes are no QuickTime or MP4 video.

    UnsupportedMediaError for a video without the identifier that a camera writes into both files
    of a live photo (nothing else makes it one), or longer than `max_seconds`.
    """
    mime = video_type(data[:512])
    if mime is None:
        return None
    movie = read_movie(io.BytesIO(data))
    if not movie.content_id:
        raise UnsupportedMediaError(
            "This is a video without the identifier that cameras write into both files of a live"
            " photo. Of videos only those of live photos are kept, with their stills.",
            fix="Send the .mov as the phone wrote it (editors and messengers take the identifier"
            " out), or leave it out.",
        )
    if movie.duration_s is not None and movie.duration_s > max_seconds:
        raise UnsupportedMediaError(
            f"This video of a live photo is {movie.duration_s:.1f} s long; at most"
            f" {max_seconds:g} s are taken.",
            fix="Raise imaging.live_video_seconds if such videos are wanted.",
        )
    digest = hashlib.sha256(data).hexdigest()
    return LiveVideo(digest, movie.content_id, mime, len(data), movie.duration_s)


class FindVideos:
    """Adds `companion`: what a live photo's video is; its row is a reject until its still is known.

    Other videos are rejects for good. With `keep` the bytes go to the tenant's blobs, for by the
    time the still comes the file may be gone.
    """

    def __init__(
        self, store: ObjectStore, tenant: str, *, keep: bool, threads: int, max_seconds: float
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._keep = keep
        self._max_seconds = max_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="videos")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with `data` in, the same rows with `companion` (mostly null) out."""
        found: dict[int, dict[str, object]] = {}
        failed: dict[int, Rejection] = {}
        for row, video in zip(*self._videos(table), strict=True):
            if isinstance(video, Rejection):
                failed[row] = video
            else:
                found[row] = asdict(video)
                failed[row] = _waits(table["uri"][row].as_py(), video.content_id)
        cells = rows.scatter(len(table), found)
        table = rows.set_column(table, "companion", cells, COMPANION)
        return rows.mark_rejected(table, failed)

    def _videos(self, table: pa.Table) -> tuple[list[int], list[LiveVideo | Rejection]]:
        """Rows that hold a video, and what became of each."""
        data, uris = table["data"], table["uri"]
        videos = [r for r in rows.live(table) if video_type(bytes(data[r].as_buffer()[:512]))]

        def look(row: int) -> LiveVideo | Rejection:
            stage = "decode"
            try:
                content = data[row].as_py()
                video = live_video(content, max_seconds=self._max_seconds)
                assert video is not None, "only videos are looked at"
                stage = "store"
                if self._keep:
                    path = blob_path(self._tenant, video.companion_id)
                    self._store.write(path, content, if_absent=True)
                return video
            except Exception as error:  # the end of a row
                return rows.rejection(uris[row].as_py(), stage, error)

        return videos, list(self._pool.map(look, videos))


def accept_video(
    catalog: Catalog, store: ObjectStore, tenant: str, data: bytes, video: LiveVideo
) -> list[str]:
    """Keep an uploaded video and join it with its stills, as far as they are there; their ids.

    The blob first, then the row: when this returns both are safe, and the video joins whatever
    still of its identifier comes later. The same bytes again change nothing.
    """
    path = blob_path(tenant, video.companion_id)
    store.write(path, data, if_absent=True)
    with catalog.tenant(tenant) as tx:
        promise(tx, store, video.companion_id, data)
        companions.lock(tx)
        companions.add_upload(tx, asdict(video))
        join(tx, companion_id=video.companion_id)
        return [pair.photo_id for pair in companions.of_photo(tx, video.companion_id)]


def missing_videos(tx: Transaction, store: ObjectStore, rejects: pa.Table) -> set[str]:
    """Ids of videos among a part's rejects whose blobs are gone again, with the others held.

    A blob may have been let go between a worker's look and this transaction, which is to be the
    one that loads the part, and begins with this.
    """
    if "companion" not in rejects.column_names:
        return set()
    blobs.hold(tx)
    ids = {one["companion_id"] for one in rejects["companion"].to_pylist() if one is not None}
    return {i for i in ids if not store.exists(blob_path(tx.tenant, i))}


def pair_videos(catalog: Catalog, tenant: str) -> int:
    """Join every still with the videos of its identifier, however they came; how many pairs."""
    with catalog.tenant(tenant) as tx:
        return join(tx)


def join(tx: Transaction, photo_id: str | None = None, *, companion_id: str | None = None) -> int:
    """The same in a transaction, of one still or one video only where it is named."""
    companions.lock(tx)
    links = []
    for one in companions.unpaired(tx, photo_id, companion_id):
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
    if links or (photo_id is None and companion_id is None):
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
