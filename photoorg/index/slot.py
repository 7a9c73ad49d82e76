"""One slot as searches see it: the base shard, minus what changed since, plus the delta."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError
from photoorg.index.base import FloatMatrix, Mask
from photoorg.index.delta import Delta, DeltaView, Event
from photoorg.index.merge import merge
from photoorg.index.photo_ids import as_keys, slot_of
from photoorg.index.rescore import unit
from photoorg.index.shard import Shard
from photoorg.index.subset import AllowedPhotos, Subset
from photoorg.models import Candidate


@dataclass(frozen=True, slots=True)
class _State:
    """One consistent moment: the delta, and which base rows it leaves valid (None: all)."""

    delta: DeltaView
    valid: Mask | None
    hidden: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """One query's photos, best first: n ids, their scores [n] and unit vectors [n, dim].

    The vectors are those of the photos as a whole; `views` [n] numbers the view that scored.
    """

    ids: list[str]
    scores: NDArray[np.float32]
    vectors: FloatMatrix
    views: NDArray[np.int64]


class ShardSlot:
    """Base and delta of one slot, searched as one; events may be applied while searches run."""

    def __init__(self, base: Shard | None, delta: Delta, *, slot: int = 0, shards: int = 1) -> None:
        same = base is None or (base.dim, base.views) == (delta.dim, delta.views)
        assert same, "base and delta are of one space"
        self.base = base
        self.slot = slot
        self._shards = shards
        self._delta = delta
        self._lock = threading.Lock()
        self._state = _State(delta.view(), None, 0)
        self._mask(sorted(delta.masking))

    def __len__(self) -> int:
        """How many photos a search can return."""
        state = self._state
        base = len(self.base) - state.hidden if self.base else 0
        return base + len(state.delta.rows)

    @property
    def seq(self) -> int:
        """The last event of the delta log that searches see."""
        return self._state.delta.seq

    def apply(self, events: Iterable[Event]) -> int:
        """Take in a run of the log in which other slots' photos are passed over; the new seq."""
        with self._lock:
            run = sorted(events, key=lambda e: e.seq)
            if not run:
                return self.seq
            slots_n = slot_of(as_keys([e.photo_id for e in run]), self._shards)
            touched = self._delta.apply(
                e for e, slot in zip(run, slots_n, strict=True) if slot == self.slot
            )
            self._delta.skip_to(run[-1].seq)
            self._mask(touched)
            return self.seq

    def search(
        self, x_nd: FloatMatrix, k: int, *, effort: int | None = None
    ) -> list[list[Candidate]]:
        """The k best photos per query, best first, equal scores by photo id.

        Fewer than k only where there are fewer: changed and deleted base rows are masked inside the
        search, so they take nobody's place.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        state = self._state
        x_nd = unit(np.asarray(x_nd, np.float32))
        fresh = state.delta.search(x_nd, k)
        if self.base is None:
            return fresh
        scores, rows = self.base.search(x_nd, k, effort=effort, allowed=state.valid)
        return [
            merge([self._candidates(s[r >= 0], r[r >= 0]), new], k)
            for s, r, new in zip(scores, rows, fresh, strict=True)
        ]

    def nearest(
        self, x_nd: FloatMatrix, k: int, *, allowed: AllowedPhotos | None = None
    ) -> list[Nearest]:
        """As search, with the vectors of what was found; the queries share every step.

        With `allowed`, only photos among those.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}.")
        state = self._state
        x_nd = unit(np.asarray(x_nd, np.float32))
        fresh: list[Nearest] = []
        if state.delta.rows or self.base is None:
            some = None if allowed is None else allowed.fresh(self, state.delta)
            fresh = [self._fresh(state, *found) for found in state.delta.nearest(x_nd, k, some)]
        if self.base is None:
            return fresh
        rows: Mask | Subset | None = state.valid
        if allowed is not None:
            rows = allowed.base(self, state.valid)
        scores_nk, rows_nk, views_nk = self.base.matches(x_nd, k, allowed=rows)
        kept_nk = rows_nk >= 0
        ids = self.base.ids.hex(rows_nk[kept_nk])
        vectors = self.base.vectors(rows_nk[kept_nk])
        ends = np.cumsum(kept_nk.sum(axis=1)).tolist()
        answers = [
            Nearest(ids[start:end], scores[kept], vectors[start:end], views[kept])
            for start, end, scores, views, kept in zip(
                [0, *ends], ends, scores_nk, views_nk, kept_nk, strict=False
            )
        ]
        if not fresh:
            return answers
        both = zip(answers, fresh, strict=True)
        return [_best([base, new], k) if new.ids else base for base, new in both]

    def vector(self, photo_id: str) -> NDArray[np.float32] | None:
        """A photo's unit-norm vector [dim], None if it is not in this slot or deleted."""
        x_nd, found = self.vectors([photo_id])
        return x_nd[0] if found[0] else None

    def vectors(self, photo_ids: Sequence[str]) -> tuple[FloatMatrix, Mask]:
        """Unit-norm vectors [n, dim] and which photos were found; rows of the others are zeros."""
        state = self._state
        x_nd = np.zeros((len(photo_ids), self._delta.dim), np.float32)
        found = np.zeros(len(photo_ids), np.bool_)
        if self.base is not None and len(photo_ids):
            rows = self.base.rows(as_keys(photo_ids))
            found = rows >= 0
            if state.valid is not None:
                found &= state.valid[rows]
            x_nd[found] = self.base.vectors(rows[found])
        for i, photo_id in enumerate(photo_ids):
            vector = state.delta.vector(photo_id)
            if vector is not None:
                x_nd[i], found[i] = vector, True
        return x_nd, found

    def _fresh(
        self, state: _State, rows: NDArray[np.int64], scores_n: NDArray[np.float32]
    ) -> Nearest:
        ids, views = state.delta.ids, rows % self._delta.views
        whole = state.delta.x_nd[rows - views]
        return Nearest([ids[row] for row in rows.tolist()], scores_n, whole, views)

    def memory_bytes(self) -> int:
        """Resident bytes of base and delta; mapped files are not counted."""
        masks = 0 if self._state.valid is None else self._state.valid.nbytes
        base = self.base.memory_bytes() if self.base else 0
        return base + self._delta.memory_bytes() + masks

    def _mask(self, touched: Sequence[str]) -> None:
        """Publish the delta as it is now; base rows of touched photos count as it says."""
        valid, hidden = self._state.valid, self._state.hidden
        if self.base is not None and touched:
            rows = self.base.rows(as_keys(touched))
            there = rows >= 0
            if there.any():
                valid = np.ones(len(self.base), np.bool_) if valid is None else valid.copy()
                valid[rows[there]] = ~np.array(self._delta.masks(touched))[there]
                hidden = len(valid) - int(np.count_nonzero(valid))
        self._state = _State(self._delta.view(), valid, hidden)

    def _candidates(self, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> list[Candidate]:
        assert self.base is not None
        ids = self.base.ids.hex(rows)
        return [Candidate(i, float(s)) for i, s in zip(ids, scores, strict=True)]


def _best(parts: Sequence[Nearest], k: int) -> Nearest:
    ids = [photo_id for part in parts for photo_id in part.ids]
    scores_n = np.concatenate([part.scores for part in parts])
    best = sorted(range(len(ids)), key=lambda i: (-scores_n[i], ids[i]))[:k]
    x_nd = np.concatenate([part.vectors for part in parts])
    views_n = np.concatenate([part.views for part in parts])
    return Nearest([ids[i] for i in best], scores_n[best], x_nd[best], views_n[best])
