"""One shard of a version: candidates from FAISS, re-scored from mapped vectors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from photoorg.errors import IndexCorruptError, InputError, NotFoundError
from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Index, Mask, PhotoKeys
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.manifest import IndexManifest, ShardInfo, file_name
from photoorg.index.photo_ids import PhotoIds
from photoorg.index.rescore import Rescorer
from photoorg.index.subset import GATHER_MOST, Subset
from photoorg.registry import INDEXES, resolve
from photoorg.space import EmbeddingSpace

CALIBRATED_K = 10
"""What rescore_factor was calibrated for; results beyond it take 4 more candidates each."""
SCAN_SHARE = 0.01
"""Below this share of allowed rows comparing them all is faster and exact."""
GATHERED_SHARE = 0.02
"""The same where their codes were gathered."""


class Shard:
    """Immutable and safe to search from any number of threads at once.

    Rows are in ascending photo id order. Resident are codes, ids of the inverted lists and
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
    ) -> None:
        self.index = index
        self.rescorer = rescorer
        self.ids = ids
        self.effort = effort
        self.rescore_factor = rescore_factor
        self._threads = threads
        self._refined = None if index.exact else _two_stages(index, rescorer)

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
    ) -> Shard:
        """Open the files of one slot.

        IndexCorruptError for truncated, altered or exchanged files, SpaceMismatchError for those
        of another space. `verify` False skips the checksums (files just written or checked).
        """
        seals = {
            part: _check(directory, info, part, space, verify=verify)
            for part in ("base", "rescore", "ids")
        }
        load = resolve(INDEXES, kind, "index kind").load
        index = load(directory / file_name(info.slot, "base"), mmap=True, verify=False)
        rescorer = Rescorer.open(directory / file_name(info.slot, "rescore"), seals["rescore"])
        ids = PhotoIds.open(directory / file_name(info.slot, "ids"), info.rows)
        return cls(
            index, rescorer, ids, effort=effort, rescore_factor=rescore_factor, threads=threads
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
        """Scores and rows, both [n, k], best first, equal scores by photo id; -inf and -1 pad.

        `effort` (lists scanned) and `rescore_factor` (candidates per result up to 10) default to
        what was calibrated at build; more lists are scanned where a large k or a mask asks for it.
        `allowed` is a mask over rows, or a Subset for one that is used again; few allowed rows are
        all compared. Scores are cosine
        similarities of re-scored vectors: in 512 dimensions within about 0.002 of the truth.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        faiss_io.use_threads(self._threads)
        x_nd = faiss_io.rows_of(x_nd, self.dim)
        wanted = _candidates(k, rescore_factor or self.rescore_factor)
        share, some = 1.0, None
        if isinstance(allowed, Subset):
            share, some = allowed.share, allowed
            if self._rather_scan(allowed, wanted):
                return _in_order(*allowed.scan(x_nd, k))
            allowed = allowed.selector
        elif allowed is not None and self._refined is not None:
            share = np.count_nonzero(allowed) / max(1, len(allowed))
            if share * len(self) <= max(wanted, SCAN_SHARE * len(self)):
                return _in_order(*self.rescorer.scan(x_nd, k, allowed))
        if self._refined is None:
            return _in_order(*self.index.search(x_nd, k, allowed=allowed))
        if effort is not None:
            return _in_order(*self._refine(x_nd, k, wanted, effort, allowed))
        if some is not None and isinstance(self.index, IvfPqIndex):
            counts = some.uneven(self.index)
            if counts is not None:
                return _in_order(*self._follow(x_nd, k, wanted, counts, allowed))
        return _in_order(*self._fill(x_nd, k, wanted, share, allowed))

    def _follow(
        self, x_nd: FloatMatrix, k: int, wanted: int, counts: Ids, allowed: Any
    ) -> tuple[FloatMatrix, Ids]:
        """Search as many lists per query as hold the allowed rows that no filter would look at.

        What a filter allows is seldom spread by chance: near one query nearly all is allowed, near
        another next to nothing, and an effort for the average would miss most there.
        """
        limit = self.index.max_effort
        assert isinstance(self.index, IvfPqIndex), "only inverted files have lists"
        mean = len(self) / limit
        rows_wanted = min(int(counts.sum()), max(self.effort * mean, 2.0 * k))
        seen_nl = np.cumsum(counts[self.index.lists_near(x_nd)], axis=1)
        effort_n = np.maximum(self.effort, (seen_nl < rows_wanted).sum(axis=1) + 1)
        # Queries of about the same effort share a call.
        step_n = 2 ** np.ceil(2 * np.log2(np.minimum(effort_n, limit))).astype(np.int64)
        scores = np.full((len(x_nd), k), -np.inf, np.float32)
        rows = np.full((len(x_nd), k), -1, np.int64)
        for step in np.unique(step_n):
            some = np.flatnonzero(step_n == step)
            effort = min(limit, math.ceil(math.sqrt(step)))
            scores[some], rows[some] = self._refine(x_nd[some], k, wanted, effort, allowed)
        return scores, rows

    def _rather_scan(self, allowed: Subset, wanted: int) -> bool:
        """Whether comparing every allowed row is cheaper than searching lists for them.

        Codes gathered once lie together, so a row costs less than one found through a bitmap.
        """
        if self.index.exact:
            return allowed.count <= min(GATHER_MOST, len(self) // 2)
        return allowed.count <= max(wanted, GATHERED_SHARE * len(self))

    def _fill(
        self, x_nd: FloatMatrix, k: int, wanted: int, share: float, allowed: Mask | Any | None
    ) -> tuple[FloatMatrix, Ids]:
        """Search with the calibrated effort, and with more where k or the mask ask for more.

        A mask thins out every list, so the same neighbours are spread over more of them; and a
        query that still comes back short is asked again, with everything in the end.
        """
        limit = self.index.max_effort
        lists_for_k = 2 * k * limit / (share * max(1, len(self)))
        effort = min(limit, math.ceil(max(self.effort / share, lists_for_k)))
        scores, rows = self._refine(x_nd, k, wanted, effort, allowed)
        expected = min(k, round(share * len(self)))
        while expected and effort < limit:
            short = np.flatnonzero(rows[:, expected - 1] < 0)
            if not len(short):
                break
            effort = min(limit, 4 * effort)
            scores[short], rows[short] = self._refine(x_nd[short], k, wanted, effort, allowed)
        return scores, rows

    def _refine(
        self, x_nd: FloatMatrix, k: int, wanted: int, effort: int, allowed: Mask | Any | None
    ) -> tuple[FloatMatrix, Ids]:
        found = max(1, min(k, len(self)))
        parameters = faiss_io.library().IndexRefineSearchParameters(
            k_factor=max(1.0, min(wanted, len(self)) / found),
            base_index_params=self.index.search_parameters(effort, allowed),
        )
        return faiss_io.search(self._refined, x_nd, k, parameters)

    def rows(self, keys_n32: PhotoKeys) -> Ids:
        """The row of each photo, -1 where it is not in this shard."""
        return self.ids.rows(keys_n32)

    def vectors(self, rows_n: Ids) -> FloatMatrix:
        """Unit-norm vectors [n, dim] of rows."""
        return self.rescorer.vectors(rows_n)

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
) -> Shard:
    """One slot of a version in a local folder, with the effort its manifest gives.

    `like` is another open shard of the same version: the centroids are then held once for both.
    """
    info = next((s for s in manifest.shards if s.slot == slot), None)
    if info is None:
        raise NotFoundError(f"Index {manifest.version} has no shard {slot}.", fix=seal.FIX)
    shard = Shard.open(
        directory,
        info,
        manifest.space,
        kind=manifest.kind,
        effort=manifest.effort,
        rescore_factor=manifest.rescore_factor,
        threads=threads,
        verify=verify,
    )
    if like is not None and like.index.kind == shard.index.kind:
        shard.index.share(like.index)
    return shard


def _two_stages(index: Index, rescorer: Rescorer) -> Any:
    """FAISS's own two stages: it only borrows both indices, which the shard keeps alive."""
    faiss = faiss_io.library()

    return faiss.IndexRefine(index.faiss, rescorer.faiss)


def _check(
    directory: Path, info: ShardInfo, part: str, space: EmbeddingSpace, *, verify: bool
) -> seal.Seal:
    path = directory / file_name(info.slot, part)
    found = seal.check(path, part=part, verify=verify)
    space.require(found.space, str(path))
    if (found.sha256, found.rows) != (info.files[part].sha256, info.rows):
        raise IndexCorruptError(f"{path} is not the file its manifest names.", fix=seal.FIX)
    return found


def _candidates(k: int, factor: int) -> int:
    return max(2 * k, min(k, CALIBRATED_K) * factor + 4 * max(0, k - CALIBRATED_K))


def _in_order(scores: FloatMatrix, rows: Ids) -> tuple[FloatMatrix, Ids]:
    """Equal scores by row, which is by photo id; padding (-1) stays last."""
    order = np.lexsort((np.where(rows < 0, np.iinfo(np.int64).max, rows), -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)
