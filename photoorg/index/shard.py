"""One shard of a version: candidates from FAISS, re-scored from mapped vectors."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from photoorg.errors import IndexCorruptError, InputError, NotFoundError
from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Index, Mask, PhotoKeys
from photoorg.index.devices import Devices
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.manifest import IndexManifest, ShardInfo, file_name
from photoorg.index.photo_ids import PhotoIds
from photoorg.index.rescore import Rescorer
from photoorg.index.searcher import CpuSearcher, Searcher
from photoorg.index.subset import GATHER_MOST, AllowedLists, Subset
from photoorg.index.views import all_rows, best_views
from photoorg.registry import INDEXES, resolve
from photoorg.space import EmbeddingSpace

CALIBRATED_K = 10
"""What rescore_factor was calibrated for; results beyond it take 4 more candidates each."""
ROWS_PER_PHOTO = 2
"""Where photos have several rows: so many are asked for at first for each result."""
SCAN_SHARE = 0.01
"""Below this share of allowed rows comparing them all is faster and exact."""
GATHERED_SHARE = 0.02
"""The same where their codes were gathered."""
FOLLOW = 3.0
"""Allowed rows looked at by an uneven filter, over the rows looked at without one."""


class Shard:
    """Immutable and safe to search from any number of threads at once.

    Photos are in ascending id order, and each has `views` rows of the index, one after the other:
    it is as near to a query as the best of them. Resident are codes, ids of the inverted lists and
    quantizers; photo ids and re-score vectors are mapped from their files.
    """

    def __init__(
        self,
        index: Index,
        rescorer: Rescorer,
        ids: PhotoIds,
        *,
        effort: int,
        rescore_factor: int,
        threads: int | None = 1,
        views: int = 1,
        searcher: Searcher | None = None,
    ) -> None:
        self.index = index
        self.rescorer = rescorer
        self.ids = ids
        self.effort = effort
        self.rescore_factor = rescore_factor
        self.views = views
        self._rows = len(ids) * views
        self._threads = threads
        self._searcher = searcher or CpuSearcher(index, rescorer)

    @classmethod
    def open(
        cls,
        directory: Path,
        info: ShardInfo,
        space: EmbeddingSpace,
        *,
        kind: str,
        effort: int = 1,
        rescore_factor: int = 20,
        threads: int | None = 1,
        verify: bool = True,
        like: Shard | None = None,
        devices: Devices | None = None,
    ) -> Shard:
        """Open the files of one slot.

        `like` and `devices` as in open_shard.

        IndexCorruptError for truncated, altered or exchanged files, SpaceMismatchError for those
        of another space. `verify` False skips the checksums (files just written or checked).
        """
        seals = {
            part: _check(directory, info, part, space, verify=verify)
            for part in ("base", "rescore", "ids")
        }
        load = resolve(INDEXES, kind, "index kind").load
        index = load(directory / file_name(info.slot, "base"), mmap=True, verify=False)
        if like is not None and like.index.kind == index.kind:
            index.share(like.index)
        rescorer = Rescorer.open(directory / file_name(info.slot, "rescore"), seals["rescore"])
        views = len(space.views)
        ids = PhotoIds.open(directory / file_name(info.slot, "ids"), info.rows // views)
        return cls(
            index,
            rescorer,
            ids,
            effort=effort,
            rescore_factor=rescore_factor,
            threads=threads,
            views=views,
            searcher=None if devices is None else devices.searcher(index, rescorer),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""
        return self.index.dim

    def search(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        effort: int | None = None,
        rescore_factor: int | None = None,
        allowed: Mask | Subset | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and photos (places in `ids`), both [n, k], best first; -inf and -1 pad.

        Equal scores are in order of photo id. As `matches`, which also tells of the views.
        """
        scores, photos, _ = self.matches(
            x_nd, k, effort=effort, rescore_factor=rescore_factor, allowed=allowed
        )
        return scores, photos

    def matches(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        effort: int | None = None,
        rescore_factor: int | None = None,
        allowed: Mask | Subset | None = None,
    ) -> tuple[FloatMatrix, Ids, Ids]:
        """Scores, photos and the number of the view that is so near, each [n, k].

        `effort` (lists scanned) and `rescore_factor` (candidates per result up to 10) default to
        what was calibrated at build; more lists are scanned where a large k or a mask asks for it.
        `allowed` is a mask over photos, or a Subset for one that is used again; few allowed rows
        are all compared. Scores are cosine
        similarities of re-scored vectors: in 512 dimensions within about 0.002 of the truth.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        faiss_io.use_threads(self._threads)
        x_nd = faiss_io.rows_of(x_nd, self.dim)
        if isinstance(allowed, np.ndarray):
            allowed = all_rows(allowed, self.views)
        if self.views == 1:
            scores, rows = self._nearest(x_nd, k, effort, rescore_factor, allowed)
            return scores, rows, np.zeros_like(rows)
        # The k best photos are among (k - 1) * views + 1 rows for sure, and mostly among fewer.
        most = max(1, min((k - 1) * self.views + 1, self._rows))
        depth = min(most, ROWS_PER_PHOTO * k)
        scores = np.full((len(x_nd), k), -np.inf, np.float32)
        photos = np.full((len(x_nd), k), -1, np.int64)
        views = np.zeros((len(x_nd), k), np.int64)
        short = np.arange(len(x_nd))
        while len(short):
            near, rows = self._nearest(x_nd[short], depth, effort, rescore_factor, allowed)
            found = np.where(rows < 0, -1, rows // self.views)
            scores[short], photos[short], places = best_views(near, found, k)
            views[short] = np.take_along_axis(rows, places, 1) % self.views
            if depth >= most:
                break
            short = short[(photos[short, -1] < 0) & (rows[:, -1] >= 0)]
            depth = min(most, 2 * depth)
        return scores, photos, views

    def _nearest(
        self,
        x_nd: FloatMatrix,
        k: int,
        effort: int | None,
        rescore_factor: int | None,
        allowed: Mask | Subset | None,
    ) -> tuple[FloatMatrix, Ids]:
        """The k best rows of each query, whatever photos they are of: scores and rows."""
        wanted = _candidates(k, rescore_factor or self.rescore_factor)
        share, some = 1.0, None
        if isinstance(allowed, Subset):
            share, some = allowed.share, allowed
            if self._rather_scan(allowed, wanted):
                return _in_order(*allowed.scan(x_nd, k))
            allowed = allowed.selector
        elif allowed is not None and not self.index.exact:
            share = np.count_nonzero(allowed) / max(1, len(allowed))
            if share * self._rows <= max(wanted, SCAN_SHARE * self._rows):
                return _in_order(*self.rescorer.scan(x_nd, k, allowed))
        if effort is not None or self.index.exact:
            effort = effort or self.effort
            found = self._searcher.best(x_nd, k, wanted=wanted, effort=effort, allowed=allowed)
            return _in_order(*found)
        if some is not None and isinstance(self.index, IvfPqIndex) and self.index.picks:
            counts = some.uneven(self.index)
            if counts is not None:
                return _in_order(*self._follow(self.index, x_nd, k, wanted, counts, allowed))
        return _in_order(*self._fill(x_nd, k, wanted, share, allowed))

    def _follow(
        self,
        index: IvfPqIndex,
        x_nd: FloatMatrix,
        k: int,
        wanted: int,
        counts: AllowedLists,
        allowed: Any,
    ) -> tuple[FloatMatrix, Ids]:
        """Search as many lists per query as hold the allowed rows that no filter would look at.

        What a filter allows is seldom spread by chance: near one query nearly all is allowed, near
        another next to nothing, and an effort for the average would miss most there. Lists without
        an allowed row are passed over.
        """
        enough = max(FOLLOW * self.effort * self._rows / index.max_effort, 2.0 * k)
        near_nl = index.nearness(x_nd)
        found = [
            self._searcher.best(
                x_nd[i : i + 1], k, wanted=wanted, effort=len(lists), allowed=allowed, lists=lists
            )
            for i, lists in enumerate(
                counts.near(near_l, self.effort, enough) for near_l in near_nl
            )
        ]
        none = np.zeros((0, k))
        scores = np.concatenate([none.astype(np.float32), *(scores for scores, _ in found)])
        return scores, np.concatenate([none.astype(np.int64), *(rows for _, rows in found)])

    def _rather_scan(self, allowed: Subset, wanted: int) -> bool:
        """Whether comparing every allowed row is cheaper than searching lists for them.

        Codes gathered once lie together, so a row costs less than one found through a bitmap.
        """
        if self.index.exact:
            return allowed.count <= min(GATHER_MOST, self._rows // 2)
        return allowed.count <= max(wanted, GATHERED_SHARE * self._rows)

    def _fill(
        self, x_nd: FloatMatrix, k: int, wanted: int, share: float, allowed: Mask | Any | None
    ) -> tuple[FloatMatrix, Ids]:
        """Search with the calibrated effort, and with more where k or the mask ask for more.

        A mask thins out every list, so the same neighbours are spread over more of them; and a
        query that still comes back short is asked again, with everything in the end.
        """
        limit = self.index.max_effort
        lists_for_k = 2 * k * limit / (share * max(1, self._rows))
        effort = min(limit, math.ceil(max(self.effort / share, lists_for_k)))
        best = partial(self._searcher.best, k=k, wanted=wanted, allowed=allowed)
        scores, rows = best(x_nd, effort=effort)
        expected = min(k, round(share * self._rows))
        while expected and effort < limit:
            short = np.flatnonzero(rows[:, expected - 1] < 0)
            if not len(short):
                break
            effort = min(limit, 4 * effort)
            scores[short], rows[short] = best(x_nd[short], effort=effort)
        return scores, rows

    def rows(self, keys_n32: PhotoKeys) -> Ids:
        """The place of each photo, -1 where it is not in this shard."""
        return self.ids.rows(keys_n32)

    def vectors(self, photos_n: Ids) -> FloatMatrix:
        """Unit-norm vectors [n, dim] of photos, as a whole: of their first view."""
        return self.rescorer.vectors(photos_n * self.views)

    def all_vectors(self, photos_n: Ids) -> FloatMatrix:
        """Unit-norm vectors of all views of photos, side by side: [n, views * dim]."""
        rows_nv = photos_n[:, None] * self.views + np.arange(self.views)
        return self.rescorer.vectors(rows_nv.ravel()).reshape(len(photos_n), -1)

    def memory_bytes(self) -> int:
        """Resident bytes of codes, list ids and quantizers; mapped files are not counted."""
        return self.index.memory_bytes()


def open_shard(
    directory: Path,
    manifest: IndexManifest,
    slot: int,
    *,
    threads: int | None = 1,
    verify: bool = True,
    like: Shard | None = None,
    devices: Devices | None = None,
) -> Shard:
    """One slot of a version in a local folder, with the effort its manifest gives.

    `like` is another open shard of the same version: the centroids are then held once for both.
    On `devices` candidates are looked for where one has room, on the CPU otherwise.
    """
    info = next((s for s in manifest.shards if s.slot == slot), None)
    if info is None:
        raise NotFoundError(f"Index {manifest.version} has no shard {slot}.", fix=seal.FIX)
    return Shard.open(
        directory,
        info,
        manifest.space,
        kind=manifest.kind,
        effort=manifest.effort,
        rescore_factor=manifest.rescore_factor,
        threads=threads,
        verify=verify,
        like=like,
        devices=devices,
    )


def _check(
    directory: Path, info: ShardInfo, part: str, space: EmbeddingSpace, *, verify: bool
) -> seal.Seal:
    path = directory / file_name(info.slot, part)
    found = seal.check(path, part=part, verify=verify)
    space.require(found.space, str(path))
    rows = info.rows // len(space.views) if part == "ids" else info.rows
    if (found.sha256, found.rows) != (info.files[part].sha256, rows):
        raise IndexCorruptError(f"{path} is not the file its manifest names.", fix=seal.FIX)
    return found


def _candidates(k: int, factor: int) -> int:
    return max(2 * k, min(k, CALIBRATED_K) * factor + 4 * max(0, k - CALIBRATED_K))


def _in_order(scores: FloatMatrix, rows: Ids) -> tuple[FloatMatrix, Ids]:
    """Equal scores by row, which is by photo id; padding (-1) stays last."""
    if bool((scores[:, 1:] < scores[:, :-1]).all()):
        return scores, rows
    order = np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
