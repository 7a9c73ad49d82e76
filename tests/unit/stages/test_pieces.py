"""Vectors split by slot: everything arrives once, in order, whatever the sizes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from photoorg.config import StorageConfig
from photoorg.index.photo_ids import slot_of
from photoorg.space import EmbeddingSpace
from photoorg.stages.pieces import Pieces
from photoorg.store.objects import ObjectStore

SPACE = EmbeddingSpace("toy", "toy", "none", "1", "none", 8)
SHARDS = 3


class CountingStore(ObjectStore):
    """Counts how often each object is read and written."""

    def __init__(self, root: str) -> None:
        super().__init__(StorageConfig(root=root))
        self.reads: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}

    def read(self, path: str) -> bytes:
        self.reads[path] += 1
        return super().read(path)

    def write(self, path: str, data: bytes, *, if_absent: bool = False) -> bool:
        self.sizes[path] = len(data)
        return super().write(path, data, if_absent=if_absent)


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 256, (n, 32), dtype=np.uint8)
    return keys, rng.normal(size=(n, SPACE.width)).astype(np.float16)


@pytest.fixture
def store(tmp_path) -> CountingStore:
    return CountingStore(str(tmp_path))


@pytest.mark.parametrize("buffer_bytes", [16, 400, 1 << 20])
def test_each_slot_gets_its_rows_in_the_order_they_came(store, buffer_bytes):
    pieces = Pieces(store, "scratch", SPACE, SHARDS, buffer_bytes=buffer_bytes)
    files = [rows(n, n) for n in (40, 1, 90, 25)]
    # Written by two workers, the later group first.
    assert pieces.split(1, files[2:]) == 115
    assert pieces.split(0, files[:2]) == 41
    keys = np.concatenate([k for k, _ in files])
    x_nd = np.concatenate([x for _, x in files])
    for slot in range(SHARDS):
        mine = slot_of(keys, SHARDS) == slot
        found = list(pieces.of_slot(slot))
        np.testing.assert_array_equal(np.concatenate([k for k, _ in found]), keys[mine])
        np.testing.assert_array_equal(np.concatenate([x for _, x in found]), x_nd[mine])
    assert set(store.reads.values()) == {1}


def test_a_group_that_is_split_again_changes_nothing(store):
    pieces = Pieces(store, "scratch", SPACE, SHARDS, buffer_bytes=200)
    for _ in range(2):
        pieces.split(0, [rows(50)])
    assert sum(len(k) for slot in range(SHARDS) for k, _ in pieces.of_slot(slot)) == 50


def test_pieces_are_written_before_more_than_the_buffer_is_held(store):
    held = 4_000
    pieces = Pieces(store, "scratch", SPACE, 1, buffer_bytes=held)
    pieces.split(0, [rows(5_000)])
    row = SPACE.width * 2
    found = [x for _, x in pieces.of_slot(0)]
    assert len(found) >= 5_000 * row // held and max(x.nbytes for x in found) <= 2 * held


def test_a_slot_without_rows_has_no_pieces(store):
    pieces = Pieces(store, "scratch", SPACE, SHARDS)
    assert pieces.split(0, []) == 0
    assert list(pieces.of_slot(1)) == [] and store.sizes == {}
