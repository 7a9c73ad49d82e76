"""A slot is its base minus what changed plus the delta: property tests against plain arrays."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoorg.config import IndexConfig
from photoorg.errors import InputError
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.merge import merge
from photoorg.index.photo_ids import hex_ids
from photoorg.index.shard import open_shard
from photoorg.index.slot import ShardSlot
from photoorg.models import Candidate
from tests.unit.index.vectors import clustered, keys, space

N, DIM = 60, 16
KEYS, X = keys(N), clustered(2 * N, DIM)
IDS = hex_ids(KEYS)
QUERIES = clustered(5, DIM, seed=1)


Op = Literal["add", "delete", "hide", "show"]


@dataclass(frozen=True)
class Logged:
    seq: int
    op: Op
    photo_id: str
    vector: NDArray[np.float32] | None


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delete", "hide", "show"]),
        st.integers(0, N - 1),
        st.integers(0, 2 * N - 1),
    ),
    max_size=40,
)
Events = list[tuple[Op, int, int]]


def log(events: Events) -> list[Logged]:
    return [
        Logged(seq, op, IDS[photo], X[row] if op == "add" else None)
        for seq, (op, photo, row) in enumerate(events, start=1)
    ]


def slots(base: int, shards: int) -> list[ShardSlot]:
    """The first `base` photos in a flat version."""
    with tempfile.TemporaryDirectory() as name:
        config = IndexConfig(shards=shards, threads=1)
        manifest = build_local(
            [(KEYS[:base], X[:base])], Path(name), space(DIM), config, version="v"
        )
        return [
            ShardSlot(open_shard(Path(name), manifest, s), Delta(DIM), slot=s, shards=shards)
            for s in range(shards)
        ]


def visible(base: int, events: Events) -> dict[str, NDArray[np.float32]]:
    """The photos that searches may find after the events, with their vectors."""
    there = {IDS[i]: X[i] for i in range(base)}
    hidden = set()
    for op, photo, row in events:
        if op == "hide":
            hidden.add(IDS[photo])
        elif op == "show":
            hidden.discard(IDS[photo])
        elif op == "add":
            there[IDS[photo]] = X[row]
        else:
            there.pop(IDS[photo], None)
            hidden.discard(IDS[photo])
    return {i: vector for i, vector in there.items() if i not in hidden}


def expected(base: int, events: Events, k: int) -> list[list[Candidate]]:
    live = visible(base, events)
    return [
        sorted((Candidate(i, float(q @ v)) for i, v in live.items()), key=lambda c: -c.score)[:k]
        for q in QUERIES
    ]


def same(got: list[Candidate], want: list[Candidate], tolerance: float = 2e-3) -> None:
    """Equal photos, but that photos whose scores tie within rounding may change places."""
    assert len(got) == len(want) == len({c.photo_id for c in got})
    scores = np.array([[c.score for c in got], [c.score for c in want]])
    np.testing.assert_allclose(scores[0], scores[1], atol=tolerance)
    certain = {c.photo_id for c in want if c.score > scores[1].min() + 2 * tolerance}
    assert certain <= {c.photo_id for c in got}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, N), EVENTS, st.integers(1, 5), st.integers(1, 25), st.integers(1, 9))
def test_any_number_of_shards_with_any_changes_is_the_unsharded_exact_result(
    base: int, events: Events, shards: int, k: int, step: int
) -> None:
    parts = slots(base, shards)
    run = log(events)
    for i in range(0, len(run), step):
        for part in parts:
            part.apply(run[i : i + step])
    found = [part.search(QUERIES, k) for part in parts]
    want = expected(base, events, k)
    for i in range(len(QUERIES)):
        same(merge([one[i] for one in found], k), want[i])
    assert sum(len(part) for part in parts) == len(expected(base, events, 10 * N)[0])
    assert all(part.seq == len(events) for part in parts)


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_vectors_are_those_of_the_live_photos(events: Events) -> None:
    [slot] = slots(40, 1)
    slot.apply(log(events))
    live = visible(40, events)
    x, found = slot.vectors(IDS)
    assert [i for i, there in zip(IDS, found, strict=True) if there] == [
        i for i in IDS if i in live
    ]
    for i, photo in enumerate(IDS):
        if photo in live:
            np.testing.assert_allclose(x[i], live[photo], atol=2e-3)
            assert slot.vector(photo) is not None
        else:
            assert slot.vector(photo) is None and not x[i].any()


def test_deletions_do_not_eat_results() -> None:
    [slot] = slots(N, 1)
    [best] = slot.search(QUERIES[:1], 50)
    slot.apply([Logged(i, "delete", c.photo_id, None) for i, c in enumerate(best[:45], start=1)])
    [left] = slot.search(QUERIES[:1], 10)
    assert [c.photo_id for c in left[:5]] == [c.photo_id for c in best[45:50]]
    assert len(left) == 10


def test_a_slot_takes_only_its_own_photos_from_the_log() -> None:
    parts = slots(0, 3)
    for part in parts:
        part.apply(log([("add", i, i) for i in range(N)]))
    assert sum(len(p) for p in parts) == N
    assert all(0 < len(p) < N and p.seq == N for p in parts)


def test_a_slot_without_base_searches_its_delta() -> None:
    slot = ShardSlot(None, Delta(DIM))
    assert slot.search(QUERIES, 3) == [[]] * 5
    slot.apply(log([("add", 0, 0)]))
    assert [c.photo_id for c in slot.search(X[:1], 3)[0]] == [IDS[0]]
    assert slot.vector(IDS[0]) is not None and slot.vector(IDS[1]) is None


def test_a_delta_filled_before_hides_base_rows_too() -> None:
    [first] = slots(N, 1)
    delta = Delta(DIM)
    delta.apply(log([("delete", 0, 0), ("add", 1, 70)]))
    slot = ShardSlot(first.base, delta)
    assert slot.vector(IDS[0]) is None and len(slot) == N - 1
    assert IDS[0] not in {c.photo_id for c in slot.search(X[:1], N)[0]}


def test_photos_hidden_before_the_log_began_stay_hidden_until_shown() -> None:
    [first] = slots(N, 1)
    slot = ShardSlot(first.base, Delta(DIM, hidden=[IDS[0]]))
    slot.apply(log([("add", 0, 70)]))
    assert slot.vector(IDS[0]) is None and len(slot) == N - 1
    slot.apply([Logged(2, "show", IDS[0], None)])
    np.testing.assert_allclose(slot.vector(IDS[0]), X[70], atol=2e-3)


def test_searches_during_changes_see_whole_moments() -> None:
    """One photo moves to and fro in the log: every search finds it exactly once."""
    [slot] = slots(N, 1)
    stop = threading.Event()
    wrong: list[int] = []

    def ask() -> None:
        while not stop.is_set():
            [found] = slot.search(X[:1], N + 5)
            times = [c.photo_id for c in found].count(IDS[0])
            if times != 1 or len(found) != N:
                wrong.append(times)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for seq in range(1, 600):
        slot.apply([Logged(seq, "add", IDS[0], X[seq % 2])])
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_k_below_one_is_refused() -> None:
    with pytest.raises(InputError):
        ShardSlot(None, Delta(DIM)).search(QUERIES, 0)
