"""Files of the store that no row knows: what a crash between a file and its row left behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

from photoorg.errors import ConflictError
from photoorg.stages.parts import INGEST, REJECTS
from photoorg.stages.purging import remove_left_blobs
from photoorg.store.catalog import Catalog, audit, blobs, runs, tenants
from photoorg.store.layout import blobs_dir, run_dir, thumbs_dir
from photoorg.store.objects import ObjectStore, StoredFile
from photoorg.store.runs import find_runs

ACTOR = "maintenance"
AT_ONCE = 500
FEW = 20
"""So many files without rows are never too many."""
FILE = re.compile(r"(?P<id>[0-9a-f]{64})(?P<thumbnail>\.webp)?")


@dataclass(slots=True)
class Orphans:
    """Files older than the grace period: all that there are, and those that no row knows.

    `removed` counts contents, of which a blob and a thumbnail may have gone.
    """

    older_than_hours: float
    files: int = 0
    blobs: int = 0
    thumbnails: int = 0
    bytes: int = 0
    removed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Page:
    """Files that were looked at together, and those of them that no row knows."""

    files: int
    unknown: dict[str, list[StoredFile]] = field(default_factory=dict)


class OrphanSweep:
    """Counts and removes originals, videos and thumbnails of one tenant that no row knows.

    Uploads in flight lose nothing: who is about to promise a blob looks at it again while none may
    be removed. Parts of an ingest that wait to be loaded keep their files.
    """

    def __init__(self, catalog: Catalog, store: ObjectStore, tenant: str, hours: float) -> None:
        self._catalog = catalog
        self._store = store
        self._tenant = tenant
        self._hours = hours

    def run(self, *, remove: bool, most: float) -> Orphans:
        """Count them, and `remove` them unless they are more than the share `most` of all files.

        ConflictError if they are: then this catalog is not that of the store, or an older copy of
        it, and the files may be all that is left of photos. For the same reason files that are
        older than the tenant's first row are left alone and not counted.
        """
        waiting = self._waiting()
        found = Orphans(self._hours)
        for page in self._pages(waiting):
            found.files += page.files
            for file in chain.from_iterable(page.unknown.values()):
                found.bytes += file.size
                found.thumbnails += file.path.endswith(".webp")
                found.blobs += not file.path.endswith(".webp")
        unknown = found.blobs + found.thumbnails
        if unknown > max(FEW, most * found.files):
            raise ConflictError(
                f"{unknown:,} of {found.files:,} originals and thumbnails under"
                f" {self._store.root} belong to no photo: more than crashes leave, so none was"
                " removed.",
                fix="Is this the catalog of that store, and not an older copy? If it is, set"
                " maintenance.orphan_share to 1.0 for one run.",
            )
        if remove and unknown:
            found.removed = self._remove(waiting)
        return found

    def _remove(self, waiting: set[str]) -> int:
        gone = 0
        for page in self._pages(waiting):
            if not page.unknown:
                continue
            with self._catalog.tenant(self._tenant) as tx:
                blobs.leave(tx, sorted(page.unknown))
                for blob_id, files in sorted(page.unknown.items()):
                    detail = {"files": [file.path for file in files]}
                    audit.record(tx, ACTOR, "blob.sweep", "blob", blob_id, detail)
            gone += remove_left_blobs(self._catalog, self._store, self._tenant)
        return gone

    def _pages(self, waiting: set[str]) -> Iterator[_Page]:
        """Old enough files of the tenant, a page at a time, with those that no row knows."""
        with self._catalog.tenant(self._tenant) as tx:
            since = tenants.since(tx)
        until = datetime.now(UTC) - timedelta(hours=self._hours)
        folders = (blobs_dir(self._tenant), thumbs_dir(self._tenant))
        files = (
            file
            for folder in folders
            for file in self._store.files(f"{folder}/")
            if since < file.modified_at < until
        )
        while page := list(islice(files, AT_ONCE)):
            yield self._page(page, waiting)

    def _page(self, files: list[StoredFile], waiting: set[str]) -> _Page:
        by_id: dict[str, list[StoredFile]] = {}
        for file in files:
            name = FILE.fullmatch(file.path.rpartition("/")[2])
            if name is not None and name["id"] not in waiting:
                by_id.setdefault(name["id"], []).append(file)
        with self._catalog.tenant(self._tenant) as tx:
            known = blobs.referred(tx, list(by_id))
        return _Page(len(files), {i: found for i, found in by_id.items() if i not in known})

    def _waiting(self) -> set[str]:
        """Contents of parts that a job committed and was killed before it loaded them: few."""
        found: set[str] = set()
        for run in find_runs(self._store, run_dir(self._tenant, INGEST, "")):
            if run.manifest() is not None:
                continue
            with self._catalog.tenant(self._tenant) as tx:
                loaded = runs.loaded_parts(tx, run.directory.rpartition("/")[2])
            for part in set(run.parts()) - loaded:
                found.update(run.read_part(part)["photo_id"].to_pylist())
                rejects = run.read_part(part, name=REJECTS)
                if "companion" in rejects.column_names:
                    videos = rejects["companion"].to_pylist()
                    found.update(video["companion_id"] for video in videos if video is not None)
        return found
