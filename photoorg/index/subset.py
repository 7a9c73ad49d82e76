"""Allowed photos, in the forms that searches use: rows of a shard, their codes, a bitmap."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Mask, PhotoKeys
from photoorg.index.photo_ids import as_keys, comparable
from photoorg.index.views import all_rows

if TYPE_CHECKING:
    from photoorg.index.delta import DeltaView
    from photoorg.index.ivfpq import IvfPqIndex
    from photoorg.index.shard import Shard
    from photoorg.index.slot import ShardSlot

UNEVEN = 2.0
"""Variance over mean of allowed rows a list, from which on a filter goes along with content."""
SORT_FIRST, SORT_MORE = 16, 8
"""Of the lists so many times the usual effort are sorted at first, and so many times more then."""
GATHER_MOST = 100_000
"""Rows whose codes are copied together for an exact scan: at 512 bytes each 50 MB."""


class Subset:
    """The allowed photos of one shard; what is derived from them is made once and kept.

    `mask` is over photos; what is counted and searched are their rows.
    """

    def __init__(self, shard: Shard, mask: Mask) -> None:
        self.mask = all_rows(mask, shard.views)
        self.count = int(np.count_nonzero(self.mask))
        self._uneven: tuple[AllowedLists | None] | None = None
        self._source = shard.index.faiss if shard.index.exact else shard.rescorer.faiss

    @property
    def share(self) -> float:
        """Allowed rows of all rows, 0..1."""
        return self.count / max(1, len(self.mask))

    @cached_property
    def selector(self) -> Any:
        """A FAISS bitmap of the rows."""
        return faiss_io.selector(self.mask)

    def scan(self, x_nd: FloatMatrix, k: int) -> tuple[FloatMatrix, Ids]:
        """The k best of the allowed rows, every one compared; -inf and -1 pad."""
        scores, places = faiss_io.search(self._gathered, x_nd, k, None)
        rows = np.append(self._rows, -1)
        return scores, rows[places]

    def uneven(self, lists: IvfPqIndex) -> AllowedLists | None:
        """Allowed rows of each inverted list; None where they are spread as by chance."""
        if self._uneven is None:
            list_n = lists.list_of_rows()
            counts = np.bincount(list_n[self._rows], minlength=lists.max_effort)
            whole = np.bincount(list_n, minlength=lists.max_effort)
            expected = whole * self.share
            spread = float(((counts - expected) ** 2).sum() / max(1.0, expected.sum()))
            self._uneven = (AllowedLists(counts) if spread > UNEVEN else None,)
        return self._uneven[0]

    def memory_bytes(self) -> int:
        """Bytes of what it holds now."""
        made = self.__dict__.get("_gathered")
        codes = 0 if made is None else int(made.ntotal) * int(made.sa_code_size())
        return self.mask.nbytes + self.mask.nbytes // 8 + codes

    @cached_property
    def _rows(self) -> Ids:
        return np.flatnonzero(self.mask).astype(np.int64)

    @cached_property
    def _gathered(self) -> Any:
        """An index of the same codec that holds only the allowed rows, their codes unchanged."""
        faiss = faiss_io.library()
        source = self._source
        size = int(source.sa_code_size())
        if isinstance(source, faiss.IndexScalarQuantizer):
            some = faiss.IndexScalarQuantizer(source.d, source.sq.qtype, source.metric_type)
            some.sq.trained = source.sq.trained
            some.is_trained = True
        else:
            some = faiss.IndexFlatIP(source.d)
        if len(self._rows):
            codes = faiss.rev_swig_ptr(source.codes.data(), int(source.ntotal) * size)
            some.add_sa_codes(np.ascontiguousarray(codes.reshape(-1, size)[self._rows]))
        return some


class AllowedLists:
    """How many allowed rows each inverted list holds, and which lists a query deserves."""

    def __init__(self, counts_l: Ids) -> None:
        self._lists = np.flatnonzero(counts_l)
        self._counts = counts_l[self._lists]

    def near(self, near_l: FloatMatrix, least: int, enough: float) -> Ids:
        """The nearest lists that hold allowed rows: `least` of them, more until there are `enough`.

        `near_l` is the query's nearness to every list. Fewer only where all of them are given.
        """
        far_s = -near_l[self._lists]
        size = len(far_s)
        depth = min(size, SORT_FIRST * least)
        while True:
            # Mostly a few of thousands are taken, so not all of them are sorted.
            first = np.argpartition(far_s, depth - 1)[:depth] if depth < size else np.arange(size)
            first = first[np.argsort(far_s[first])]
            seen = np.cumsum(self._counts[first])
            taken = max(least, int(np.searchsorted(seen, enough)) + 1)
            if taken <= depth or depth == size:
                return np.asarray(self._lists[first[:taken]])
            depth = min(size, SORT_MORE * depth)


class AllowedPhotos:
    """The photos a filter allows, of all shards; each shard's part is found once and kept."""

    def __init__(self, sorted_n32: PhotoKeys) -> None:
        self._names = comparable(sorted_n32)
        self._keys = sorted_n32
        self._parts: WeakKeyDictionary[ShardSlot, _Part] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._names)

    def base(self, slot: ShardSlot, valid: Mask | None) -> Subset:
        """Allowed rows of the slot's base that are `valid` (None: all)."""
        assert slot.base is not None, "a slot with a base"
        part = self._part(slot)
        with part.lock:
            if part.subset is None or part.valid is not valid:
                if part.mask is None:
                    rows = slot.base.rows(self._keys)
                    part.mask = np.zeros(len(slot.base), np.bool_)
                    part.mask[rows[rows >= 0]] = True
                mask = part.mask if valid is None else part.mask & valid
                part.subset, part.valid = Subset(slot.base, mask), valid
            return part.subset

    def fresh(self, slot: ShardSlot, view: DeltaView) -> Mask:
        """Which rows of the slot's delta are allowed, [rows]."""
        part = self._part(slot)
        with part.lock:
            if part.fresh is None or part.seq != view.seq:
                part.fresh = self.has(as_keys(view.ids[: len(view.live)]))
                part.seq = view.seq
            return part.fresh

    def has(self, keys_n32: PhotoKeys) -> Mask:
        """Which of the photos are allowed."""
        if not len(self) or not len(keys_n32):
            return np.zeros(len(keys_n32), np.bool_)
        wanted = comparable(keys_n32)
        at = np.minimum(np.searchsorted(self._names, wanted), len(self) - 1)
        return np.asarray(self._names[at] == wanted)

    def memory_bytes(self) -> int:
        """Bytes of ids, masks and gathered codes."""
        subsets = [p.subset for p in list(self._parts.values()) if p.subset is not None]
        return self._keys.nbytes + sum(s.memory_bytes() for s in subsets)

    def _part(self, slot: ShardSlot) -> _Part:
        with self._lock:
            return self._parts.setdefault(slot, _Part())


class _Part:
    """What is known of one shard."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.mask: Mask | None = None
        self.valid: Mask | None = None
        self.subset: Subset | None = None
        self.fresh: Mask | None = None
        self.seq = -1
