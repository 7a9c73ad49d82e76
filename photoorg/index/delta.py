"""What changed since the base was built: new vectors and deletions, searched in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import SpaceMismatchError
from photoorg.index.base import FloatMatrix, Mask
from photoorg.index.lists import RowLists
from photoorg.index.rescore import unit
from photoorg.models import Candidate

FIRST_ROWS = 256
FEW = 4_096
LIST_FROM = 1_024
LIST_EVERY = 256
"""From so many rows on they are searched by lists; so many new ones are searched without."""


class Event(Protocol):
    """One entry of the delta log: a photo came (with its vector), went, was hidden or shown."""

    @property
    def seq(self) -> int:
        """Its place in the log."""

    @property
    def op(self) -> Literal["add", "delete", "hide", "show"]:
        """What happened."""

    @property
    def photo_id(self) -> str:
        """To which photo."""

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """Its new vector [dim], None unless it came."""


@dataclass(frozen=True, slots=True)
class DeltaView:
    """The delta as it was at event `seq`: unchanged by later events, so searches need no lock.

    `x_nd` holds every row ever added, `live` which of them count, `ids` (at least) their photos. A
    photo has `views` rows, one after the other, and counts by the best of them; `rows` are firsts.
    """

    seq: int
    x_nd: FloatMatrix
    live: Mask
    ids: list[str]
    rows: dict[str, int]
    lists: RowLists | None = None
    views: int = 1

    def search(
        self, x_nd: FloatMatrix, k: int, allowed: Mask | None = None
    ) -> list[list[Candidate]]:
        """The k best live photos per query, in order of merge.rank; `allowed` masks rows."""
        return [
            [Candidate(self.ids[r], s) for r, s in zip(rows.tolist(), scores.tolist(), strict=True)]
            for rows, scores in self.nearest(x_nd, k, allowed)
        ]

    def nearest(
        self, x_nd: FloatMatrix, k: int, allowed: Mask | None = None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """As search: the best row of each photo and its score, both [<= k].

        Exact while there are few; of many, those not yet in `lists` exactly and the others by them.
        """
        if self.views == 1:
            return self._nearest(x_nd, k, allowed)
        found = []
        for rows, scores in self._nearest(x_nd, (k - 1) * self.views + 1, allowed):
            _, first = np.unique(rows // self.views, return_index=True)
            first = np.sort(first)[:k]
            found.append((rows[first], scores[first]))
        return found

    def _nearest(
        self, x_nd: FloatMatrix, k: int, allowed: Mask | None
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The k best rows, whatever photos they are of."""
        live = self.live if allowed is None else self.live & allowed
        few = np.flatnonzero(live) if allowed is not None else None
        if few is not None and len(few) <= max(FEW, len(live) // 10):
            # Lists would be left with next to nothing: these rows are all looked at.
            return [self._best(few, self.x_nd[few] @ x_d, k) for x_d in x_nd]
        start = len(self.lists) if self.lists is not None else 0
        tail = start + np.flatnonzero(live[start:])
        if self.lists is None:
            scores_nt = x_nd @ self.x_nd[start:].T
            return [self._best(tail, scores_t[tail - start], k) for scores_t in scores_nt]
        found = []
        for x_d, rows in zip(x_nd, self.lists.search(x_nd, k, live), strict=True):
            rows = np.concatenate([rows, tail]) if len(tail) else rows
            # Scored alike wherever they were found: lists hold half as many bits.
            found.append(self._best(rows, self.x_nd[rows] @ x_d, k))
        return found

    def _best(
        self, rows: NDArray[np.int64], scores: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if len(rows) > k:
            # All that tie with the k-th stay in, so that the photo id decides among them.
            chosen = scores >= np.partition(scores, -k)[-k]
            rows, scores = rows[chosen], scores[chosen]
        order = np.argsort(-scores, kind="stable")
        sorted_n = scores[order]
        if bool((sorted_n[1:] == sorted_n[:-1]).any()):
            order = np.array(
                sorted(order, key=lambda i: (-float(scores[i]), self.ids[rows[i]])), np.int64
            )
        order = order[:k]
        return rows[order], scores[order]

    def vector(self, photo_id: str) -> NDArray[np.float32] | None:
        """A live photo's vector, as a whole."""
        row = self.rows.get(photo_id)
        return None if row is None else self.x_nd[row]


class Delta:
    """Events applied in order of their number; an upsert replaces, a re-added photo is back.

    `hidden` are photos that were hidden when this began; only a show event brings one back, so
    that a photo in the trash may be embedded again.

    `views` vectors come with each photo, side by side.

    Rows are only appended, into an array that doubles; when most are dead it is rewritten. One
    writer at a time (ShardSlot sees to it), any number of readers through view().
    """

    def __init__(
        self, dim: int, *, seq: int = 0, hidden: Iterable[str] = (), views: int = 1
    ) -> None:
        self.dim = dim
        self.views = views
        self.seq = seq
        self._x_nd = np.zeros((0, dim), np.float32)
        self._live = np.zeros(0, np.bool_)
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._deleted: set[str] = set()
        self._hidden: set[str] = set(hidden)
        self._lists: RowLists | None = None

    def __len__(self) -> int:
        """How many photos it adds or replaces, hidden ones too."""
        return len(self._rows)

    @property
    def masking(self) -> frozenset[str]:
        """Photos whose row in the base counts no longer: gone, hidden or replaced."""
        return frozenset(self._deleted | self._hidden | self._rows.keys())

    def apply(self, events: Iterable[Event]) -> list[str]:
        """Take in events, those up to self.seq being known already; the photos they touched."""
        touched: list[str] = []
        for event in sorted(events, key=lambda e: e.seq):
            if event.seq <= self.seq:
                continue
            self._take(event)
            self.seq = event.seq
            touched.append(event.photo_id)
        if len(self._ids) > FIRST_ROWS and 2 * len(self._rows) * self.views < len(self._ids):
            self._rewrite()
        self._list()
        return touched

    def masks(self, photo_ids: Sequence[str]) -> list[bool]:
        """For each photo whether its row in the base counts no longer."""
        return [i in self._deleted or i in self._hidden or i in self._rows for i in photo_ids]

    def skip_to(self, seq: int) -> None:
        """Note that events up to `seq` were seen and concern others."""
        self.seq = max(self.seq, seq)

    def view(self) -> DeltaView:
        """What it holds now."""
        n = len(self._ids)
        rows = {i: row for i, row in self._rows.items() if i not in self._hidden}
        return DeltaView(
            self.seq,
            self._x_nd[:n],
            self._live[:n].copy(),
            self._ids,
            rows,
            self._lists,
            self.views,
        )

    def memory_bytes(self) -> int:
        """Bytes of its vectors and an estimate of its ids."""
        lists = self._lists.memory_bytes() if self._lists is not None else 0
        return self._x_nd.nbytes + self._live.nbytes + 200 * len(self._ids) + lists

    def _take(self, event: Event) -> None:
        photo_id = event.photo_id
        if event.op in ("hide", "show"):
            shown = event.op == "show"
            (self._hidden.discard if shown else self._hidden.add)(photo_id)
            row = self._rows.get(photo_id)
            if row is not None:
                self._live[row : row + self.views] = shown
            return
        self._drop(photo_id)
        if event.op == "delete":
            self._deleted.add(photo_id)
            self._hidden.discard(photo_id)
            return
        assert event.vector is not None, "an added photo has a vector"
        self._append(photo_id, event.vector)
        row = self._rows[photo_id]
        self._live[row : row + self.views] = photo_id not in self._hidden
        self._deleted.discard(photo_id)

    def _append(self, photo_id: str, vector: NDArray[np.float32]) -> None:
        if vector.shape != (self.dim * self.views,):
            raise SpaceMismatchError(
                f"The vector of {photo_id} has shape {list(vector.shape)}, "
                f"not [{self.dim * self.views}].",
                fix="Index and log belong to different spaces; rebuild the index.",
            )
        row, end = len(self._ids), len(self._ids) + self.views
        if end > len(self._x_nd):
            # New arrays, never resized in place: views of the old ones may be in use.
            more = max(FIRST_ROWS, row)
            self._x_nd = np.concatenate([self._x_nd, np.zeros((more, self.dim), np.float32)])
            self._live = np.concatenate([self._live, np.zeros(more, np.bool_)])
        self._x_nd[row:end] = unit(vector.reshape(self.views, self.dim).astype(np.float32))
        self._live[row:end] = True
        self._ids += [photo_id] * self.views
        self._rows[photo_id] = row

    def _drop(self, photo_id: str) -> None:
        row = self._rows.pop(photo_id, None)
        if row is not None:
            self._live[row : row + self.views] = False

    def _list(self) -> None:
        """Put rows into lists once there are many; views in use keep the lists they have."""
        listed = len(self._lists) if self._lists is not None else 0
        n = len(self._ids)
        if n < LIST_FROM or n - listed <= LIST_EVERY:
            return
        if self._lists is None or n >= 2 * self._lists.trained_on:
            self._lists = RowLists.train(self._x_nd[:n])
        else:
            self._lists = self._lists.extended(self._x_nd[listed:n])

    def _rewrite(self) -> None:
        first = np.fromiter(self._rows.values(), np.int64, len(self._rows))
        kept = (first[:, None] + np.arange(self.views)).ravel()
        live = self._live[kept]
        self._ids = [self._ids[row] for row in kept]
        self._rows = {photo_id: n * self.views for n, photo_id in enumerate(self._rows)}
        self._x_nd = self._x_nd[kept]
        self._live = live
        self._lists = None
