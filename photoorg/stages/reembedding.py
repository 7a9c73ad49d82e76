"""Stored photos into another space: what is to do, what is done, and how a part is embedded.

A run is named by the index version it leads to. It has numbered key files; a part is done when its
vectors are committed. A killed run goes on where it stopped, with the same version. Where a version
is whole already, a run embeds what it lacks.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.config import PhotoOrgConfig
from photoorg.encoders.base import Encoder
from photoorg.encoders.crops import encode_photos, short_side
from photoorg.imaging.guard import GuardedDecoder
from photoorg.index.manifest import NAME
from photoorg.index.photo_ids import contains, names_of
from photoorg.models import IndexVersion, Rejection, Rgb
from photoorg.space import EmbeddingSpace
from photoorg.stages.parts import REJECTS
from photoorg.stages.publish import Publisher, new_version
from photoorg.stages.rows import rejection
from photoorg.stages.vectors import vector_table
from photoorg.store.catalog import Catalog, delta, indexes, originals
from photoorg.store.layout import run_dir, vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs
from photoorg.store.sources import read_content

log = logging.getLogger(__name__)
REEMBED = "reembed"
KEYS = "keys"
INFO = "run.json"
KEY_SCHEMA = pa.schema(
    [("photo_id", pa.string()), ("uri", pa.string()), ("others", pa.list_(pa.string()))]
)
"""A photo, where its bytes are, and where else they were seen."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A part's vectors, in the schema of their space, and the photos that could not be embedded."""

    vectors: pa.Table
    rejects: pa.Table

    def __len__(self) -> int:
        return len(self.vectors) + len(self.rejects)


class ReembedJob:
    """Bookkeeping of one re-embedding: which photos lack a vector, which parts are done."""

    def __init__(
        self, config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog, space: EmbeddingSpace
    ) -> None:
        self._config = config
        self._store = store
        self._catalog = catalog
        self._space = space
        self._tenant = config.tenant
        unfinished = self._unfinished()
        self._going_on = unfinished is not None
        self.version = unfinished or new_version()
        self._joined: str | None = None
        self._run = Run(store, run_dir(self._tenant, REEMBED, self.version))
        self._vectors = Run(store, vectors_dir(self._tenant, space.id, self.version))

    def begin(self) -> None:
        """Note the version as building: photos that come from now on get their vector as they come.

        What is listed afterwards therefore misses none.
        """
        Publisher(self._store, self._tenant, self._space, self.version).begin(self._catalog)
        self._run.write_json(INFO, {"space": self._space.id, "version": self.version})

    def standing(self) -> IndexVersion | None:
        """The version of the space that serves, or waits to; None if a new one is to be built.

        That is so where there is none, and where a killed run goes on.
        """
        if self._going_on:
            return None
        with self._catalog.tenant(self._tenant) as tx:
            found = indexes.serving(tx, self._space.id)
        if found is None or found[0].status not in ("active", "shadow"):
            return None
        whole = self._store.exists(f"{found[0].location.rstrip('/')}/{NAME}")
        return found[0] if whole else None

    def join(self, version: str) -> None:
        """Note that what is embedded now is for a version that is whole already."""
        self._joined = version
        info = {"space": self._space.id, "version": self.version, "joins": version}
        self._run.write_json(INFO, info)

    def todo(self) -> list[int]:
        """Parts to embed now: those left over, or else those of photos that lack a vector.

        Empty when every photo that can be embedded has its vector. ConflictError if the version
        was retired meanwhile.
        """
        with self._catalog.tenant(self._tenant) as tx:
            indexes.require_kept(tx, self._space.id, self._joined or self.version)
            indexes.touch(tx, self._space.id, self.version)
        waiting = self._waiting()
        if waiting:
            return waiting
        number = len(self._run.parts(KEYS))
        for chunk in _chunks(self._lacking(), self._config.ingest.part_rows):
            table = self._keys(chunk)
            self._run.write_part(number, table, name=KEYS)
            number += 1
        return self._waiting()

    def count(self, parts: Sequence[int]) -> int:
        """How many photos are in these parts."""
        return sum(len(self._run.read_part(part, name=KEYS)) for part in parts)

    def rejected(self) -> int:
        """How many photos could not be embedded."""
        parts = self._run.parts(REJECTS)
        return sum(len(self._run.read_part(part, name=REJECTS)) for part in parts)

    def finish(self) -> None:
        """The version is whole: the run is over."""
        self._run.commit({"version": self.version, "parts": len(self._run.parts(KEYS))})

    def _keys(self, chunk: Sequence[tuple[str, str]]) -> pa.Table:
        ids, uris = zip(*chunk, strict=True)
        with self._catalog.tenant(self._tenant) as tx:
            places = originals.places(tx, ids)
        others = [places.get(photo_id, [uri])[1:] for photo_id, uri in chunk]
        return pa.table([list(ids), list(uris), others], schema=KEY_SCHEMA)

    def _waiting(self) -> list[int]:
        return sorted(set(self._run.parts(KEYS)) - set(self._vectors.parts()))

    def _lacking(self) -> Iterator[tuple[str, str]]:
        known = self._known()
        with self._catalog.tenant(self._tenant) as tx:
            for chunk in _chunks(originals.live(tx), 10_000):
                names = names_of([photo_id for photo_id, _ in chunk])
                here = contains(known, names)
                yield from (row for row, has in zip(chunk, here, strict=True) if not has)

    def _known(self) -> NDArray[np.bytes_]:
        """Photos that have a vector in the space, or were tried in this run, sorted."""
        found: list[NDArray[np.bytes_]] = [np.zeros(0, "S32")]
        for run in find_runs(self._store, vectors_dir(self._tenant, self._space.id, "")):
            for part in run.parts():
                found.append(names_of(run.read_part(part)["photo_id"].to_pylist()))
        for part in self._run.parts(REJECTS):
            found.append(names_of(self._run.read_part(part, name=REJECTS)["key"].to_pylist()))
        with self._catalog.tenant(self._tenant) as tx:
            seq = 0
            while events := delta.since(tx, self._space.id, seq):
                found.append(names_of([e.photo_id for e in events if e.op == "add"]))
                seq = events[-1].seq
        return np.sort(np.concatenate(found))

    def _unfinished(self) -> str | None:
        """The version of a run that was killed, None if there is none."""
        for run in find_runs(self._store, run_dir(self._tenant, REEMBED, "")):
            info = run.read_json(INFO)
            if info is None or run.manifest() is not None or info["space"] != self._space.id:
                continue
            with self._catalog.tenant(self._tenant) as tx:
                found = indexes.get(tx, self._space.id, info["version"])
            if found is not None and found[0].status == "building":
                log.info("Going on with version %s.", info["version"])
                return str(info["version"])
        return None


class Reembed:
    """Parts of stored photos to vectors: read, decode, encode.

    While one micro-batch is worked on, the bytes of the next are read.
    """

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, encoder: Encoder) -> None:
        self._config = config
        self._store = store
        self._encoder = encoder
        self._decoder = GuardedDecoder(config.imaging)
        self._short_side = short_side(encoder, config.imaging.short_side)
        self._readers = ThreadPoolExecutor(config.ingest.fetch_threads, thread_name_prefix="read")

    def __call__(self, keys: pa.Table) -> Embedded:
        """Rows of photo_id and uri in; each is a vector or a reject in the end."""
        ids_n, uris = keys["photo_id"].to_pylist(), keys["uri"].to_pylist()
        # A run of before has no such column.
        there = "others" in keys.column_names
        others = keys["others"].to_pylist() if there else [[] for _ in ids_n]
        rows = [(i, [uri, *more]) for i, uri, more in zip(ids_n, uris, others, strict=True)]
        ids: list[str] = []
        vectors: list[NDArray[np.float32]] = []
        failed: list[Rejection] = []
        size = self._config.ingest.micro_batch
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        coming = [self._readers.submit(self._read, *row) for row in batches[0]] if batches else []
        for following in [*batches[1:], []]:
            read = [future.result() for future in coming]
            coming = [self._readers.submit(self._read, *row) for row in following]
            images: dict[str, Rgb] = {}
            for photo_id, data in read:
                pixels = data if isinstance(data, Rejection) else self._decode(photo_id, data)
                if isinstance(pixels, Rejection):
                    failed.append(pixels)
                else:
                    images[photo_id] = pixels
            for photo_id, vector in self._encode(images):
                if isinstance(vector, Rejection):
                    failed.append(vector)
                else:
                    ids.append(photo_id)
                    vectors.append(vector)
        none = np.zeros((0, self._encoder.space.width), np.float32)
        x_nd = np.stack(vectors) if vectors else none
        done = Embedded(vector_table(self._encoder.space, ids, x_nd), _rejects(failed))
        assert len(done) == len(keys), "a photo was lost or invented"
        return done

    def _read(self, photo_id: str, places: Sequence[str]) -> tuple[str, bytes | Rejection]:
        source, most = self._config.source, self._config.imaging.max_bytes
        try:
            return photo_id, read_content(photo_id, places, self._store, source, max_bytes=most)
        except Exception as error:  # the end of a row
            return photo_id, rejection(photo_id, "read", error)

    def _decode(self, photo_id: str, data: bytes) -> Rgb | Rejection:
        try:
            return self._decoder.decode(data, short_side=self._short_side).rgb
        except Exception as error:  # the end of a row
            return rejection(photo_id, "decode", error)

    def _encode(
        self, images: dict[str, Rgb]
    ) -> Iterator[tuple[str, NDArray[np.float32] | Rejection]]:
        if not images:
            return
        try:
            x_nd = encode_photos(self._encoder, list(images.values()))
            yield from zip(images, x_nd, strict=True)
        except Exception:  # one bad row must not cost the batch: find it by going row by row
            for photo_id, rgb in images.items():
                try:
                    yield photo_id, encode_photos(self._encoder, [rgb])[0]
                except Exception as error:  # the end of a row
                    yield photo_id, rejection(photo_id, "embed", error)


class ReembedParts:
    """Works numbered parts of one run: keys in, vectors committed."""

    def __init__(
        self, config: PhotoOrgConfig, store: ObjectStore, encoder: Encoder, version: str
    ) -> None:
        self._run = Run(store, run_dir(config.tenant, REEMBED, version))
        self._vectors = Run(store, vectors_dir(config.tenant, encoder.space.id, version))
        self._embed = Reembed(config, store, encoder)

    def work(self, part: int) -> dict[str, int]:
        """Embed a part and commit it: rejects first, the vectors, which mark it done, last."""
        done = self._embed(self._run.read_part(part, name=KEYS))
        self._run.write_part(part, done.rejects, name=REJECTS)
        self._vectors.write_part(part, done.vectors)
        return {"part": part, "files": len(done), "rejects": len(done.rejects)}


def _rejects(failed: Sequence[Rejection]) -> pa.Table:
    columns = [[getattr(why, f.name) for why in failed] for f in schema.REJECTS]
    return pa.table(columns, schema=schema.with_version(schema.REJECTS))


def _chunks(items: Iterator[tuple[str, str]], size: int) -> Iterator[list[tuple[str, str]]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk
