"""The ingest job without its executor: what is to do, what is done, and what it came to.

A job is a run: a folder with numbered key files (the parts), `run.json` once the listing is whole,
the committed parts, and `manifest.json` last. A killed job leaves a run without manifest; the same
command started again goes on with it and redoes only parts that were not committed.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from photoorg import schema
from photoorg.config import PhotoOrgConfig
from photoorg.errors import NotFoundError
from photoorg.models import SourceFile
from photoorg.space import EmbeddingSpace
from photoorg.stages.companions import pair_videos
from photoorg.stages.completing import Landing
from photoorg.stages.ingest import stage_versions, wanted
from photoorg.stages.pairs import pair_photos
from photoorg.stages.parts import INGEST, REJECTS
from photoorg.stages.plan import IngestPlan
from photoorg.stages.presence import missing_files, without_thumbnails
from photoorg.store.catalog import Catalog, consent, indexes, photos, runs, spaces
from photoorg.store.catalog.listing import Listing
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs
from photoorg.store.sources import list_source

log = logging.getLogger(__name__)
KEYS = "keys"
LISTING_ROWS = 5_000
PLANNED = 10_000
"""How many new files are counted before the plan is made."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a job came to, over every file its sources list: files = photos + duplicates + rejects.

    `photos` counts distinct contents, `duplicates` further files with the bytes of another,
    `new` the files this invocation worked on, `images_per_second` those over `seconds`. The video
    of a live photo is a further file of its still's photo, so it counts among the duplicates:
    `live_videos` of them. `waiting_videos` of the rejects are such videos without their still.
    Of the further spaces that the library is moving between, `also` names those that hold the new
    photos too, `behind` those that lack some.
    """

    files: int
    photos: int
    duplicates: int
    rejects: int
    seconds: float
    images_per_second: float
    new: int
    space: str | None
    run_ids: tuple[str, ...]
    dry_run: bool = False
    live_videos: int = 0
    waiting_videos: int = 0
    also: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Work:
    """A run, the numbers of its parts that are not committed yet, and how many files wait there."""

    run_id: str
    run: Run
    todo: tuple[int, ...]
    parts: int
    files: int
    waiting: int


class IngestJob:
    """Bookkeeping of one ingest: listing, parts, loading into the catalog, the final count.

    `further` are the spaces that it embeds in beside its own.
    """

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        catalog: Catalog,
        space: EmbeddingSpace | None,
        further: Sequence[EmbeddingSpace] = (),
    ) -> None:
        self._config = config
        self._store = store
        self._catalog = catalog
        self._space = space
        self._landing = Landing(store, config.tenant, further, config.index.compact_after)

    def prepare(
        self,
        listing: Listing,
        uris: Sequence[str],
        *,
        plan: Callable[[int], IngestPlan],
        force: bool = False,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> list[Work]:
        """List the sources and return what is to do: runs left unfinished, then one for new files.

        Files that the catalog knows unchanged are skipped unless `force`. `limit` bounds the files
        of the new run. `plan` is asked for the number of new files, counted up to PLANNED, once the
        first is found. With `dry_run` it is not asked, nothing is written, and the work has no
        parts.
        """
        intent = self._intent(uris)
        waiting: set[str] = set()
        unfinished = [] if force else self._unfinished(intent, waiting)
        fresh = self._fresh(listing, uris, waiting, force=force)
        new = self._new_run(_first(fresh, limit), intent, plan, dry_run=dry_run)
        if not listing.files:
            raise NotFoundError(
                f"No files were found under {', '.join(uris)}.",
                fix="Check the path or prefix; hidden files are skipped.",
            )
        return [*unfinished, *([new] if new is not None else [])]

    def register(self) -> None:
        """Make the space known and the tenant's default if it has none."""
        if self._space is None:
            return
        with self._catalog.tenant(self._config.tenant) as tx:
            spaces.register(tx, self._space)
            if spaces.get_default(tx, self._space.kind) is None:
                spaces.set_default(tx, self._space.id, self._space.kind)

    def load(self, work: Work, part: int) -> None:
        """Copy one committed part into the catalog; doing it twice changes nothing.

        Faces that nobody agrees to any more, because consent was withdrawn while the part was
        worked on, leave its file too.
        """
        table = work.run.read_part(part)
        rejects = work.run.read_part(part, name=REJECTS)
        keys = work.run.read_part(part, name=KEYS)
        stored = self._config.ingest.originals == "copy"
        with self._catalog.tenant(self._config.tenant) as tx:
            missing = missing_files(tx, self._store, table, rejects, stored=stored)
            self._landing.begin(tx)
            new = photos.copy_part(
                tx,
                work.run_id,
                part,
                without_thumbnails(table, missing),
                rejects,
                keys=keys,
                stored=stored,
                missing=missing.blobs,
            )
            if new:
                self._landing.land(tx, work.run_id, part, table["photo_id"].to_pylist())
            covered = consent.covered(tx, table)
        if covered is not table:
            work.run.write_part(part, covered)

    def load_committed(self, work: Work) -> None:
        """Load the parts a killed job committed but did not get to load."""
        with self._catalog.tenant(self._config.tenant) as tx:
            loaded = runs.loaded_parts(tx, work.run_id)
        for part in sorted(set(work.run.parts()) - set(loaded)):
            self.load(work, part)

    def finish(self, work: Work) -> None:
        """Commit the manifest; every part must be there, whole, loaded and paired."""
        parts = work.run.parts()
        assert len(parts) == work.parts, "a run is finished only when every part is committed"
        work.run.commit({"run": work.run_id, "parts": work.parts, "files": work.files})

    def pair(self, works: Sequence[Work]) -> int:
        """Record which of the new photos belong together; how many pairs.

        Videos of live photos meet their stills whenever those came, also where an earlier job was
        killed before it got here.
        """
        run_ids = [work.run_id for work in works]
        tenant = self._config.tenant
        count = pair_photos(self._catalog, tenant, run_ids) if run_ids else 0
        return count + pair_videos(self._catalog, tenant)

    def moving(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the spaces, beside the job's own, that serve or are to.

        Those that hold every photo that the job loaded, then those that lack some.
        """
        if self._space is None:
            return (), ()
        known = coming_spaces(self._catalog, self._config.tenant)
        coming = [space for space in known if space.id != self._space.id]
        whole = [space for space in coming if self._landing.whole(space)]
        return (
            tuple(space.name for space in whole),
            tuple(space.name for space in coming if space not in whole),
        )

    def _intent(self, uris: Sequence[str]) -> dict[str, Any]:
        return {
            "sources": sorted(uris),
            "stages": stage_versions(wanted(self._config)),
            "space": self._space.id if self._space is not None else None,
            "originals": self._config.ingest.originals,
        }

    def _unfinished(self, intent: dict[str, Any], uris: set[str]) -> list[Work]:
        """Runs to go on with; the files of all of them are added to `uris`."""
        prefix = run_dir(self._config.tenant, INGEST, "")
        found = []
        for run in find_runs(self._store, prefix):
            info = run.read_json("run.json")
            if info is None or run.manifest() is not None or info["intent"] != intent:
                continue
            done = set(run.parts())
            todo = tuple(n for n in range(info["parts"]) if n not in done)
            log.info("Going on with run %s: %d parts to do.", info["run"], len(todo))
            waiting = 0
            for part in range(info["parts"]):
                names = run.read_part(part, name=KEYS)["uri"].to_pylist()
                uris.update(names)
                waiting += 0 if part in done else len(names)
            found.append(Work(info["run"], run, todo, info["parts"], info["files"], waiting))
        return found

    def _fresh(
        self, listing: Listing, uris: Sequence[str], waiting: set[str], *, force: bool
    ) -> Iterator[SourceFile]:
        for chunk in _chunks(self._listed(uris), LISTING_ROWS):
            for file, known in zip(chunk, listing.add(chunk), strict=True):
                if (force or not known) and file.uri not in waiting:
                    yield file

    def _listed(self, uris: Sequence[str]) -> Iterator[SourceFile]:
        for uri in dict.fromkeys(uris):
            yield from list_source(uri, self._config.source)

    def _new_run(
        self,
        files: Iterator[SourceFile],
        intent: dict[str, Any],
        plan: Callable[[int], IngestPlan],
        *,
        dry_run: bool,
    ) -> Work | None:
        run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
        run = Run(self._store, run_dir(self._config.tenant, INGEST, run_id))
        first = next(files, None)
        if dry_run or first is None:
            count = sum(1 for _ in files) + (first is not None)
            return Work(run_id, run, (), 0, count, count) if count else None
        parts = count = 0
        head = [first, *islice(files, PLANNED - 1)]
        for chunk in _parts(chain(head, files), plan(len(head))):
            run.write_part(parts, _keys(chunk, parts), name=KEYS)
            parts += 1
            count += len(chunk)
        info = {"run": run_id, "intent": intent, "parts": parts, "files": count}
        run.write_json("run.json", info)
        return Work(run_id, run, tuple(range(parts)), parts, count, count)


def coming_spaces(catalog: Catalog, tenant: str) -> list[EmbeddingSpace]:
    """Spaces with a version that serves, waits to or is being built."""
    with catalog.tenant(tenant) as tx:
        return indexes.live_spaces(tx, statuses=indexes.COMING)


def _keys(files: Sequence[SourceFile], part: int) -> pa.Table:
    columns = [
        [f.uri for f in files],
        [f.size for f in files],
        [f.etag for f in files],
        [f.modified_at for f in files],
        [part] * len(files),
    ]
    return pa.table(columns, schema=schema.with_version(schema.KEYS))


def _parts(files: Iterator[SourceFile], plan: IngestPlan) -> Iterator[list[SourceFile]]:
    """Chunks of `part_rows`; fewer where that would leave workers of the plan without a part."""
    head = list(islice(files, plan.part_rows * plan.workers))
    rows = min(plan.part_rows, max(1, math.ceil(len(head) / plan.workers)))
    return _chunks(chain(head, files), rows)


def _chunks(files: Iterator[SourceFile], size: int) -> Iterator[list[SourceFile]]:
    chunk: list[SourceFile] = []
    for file in files:
        chunk.append(file)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _first(files: Iterator[SourceFile], limit: int | None) -> Iterator[SourceFile]:
    """At most `limit` of the files, while the rest is still listed so that it is counted."""
    for number, file in enumerate(files):
        if limit is None or number < limit:
            yield file
