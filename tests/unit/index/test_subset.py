"""Searches among allowed photos agree with comparing each of them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.config import IndexConfig
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.photo_ids import comparable, hex_ids
from photoorg.index.shard import Shard, open_shard
from photoorg.index.slot import ShardSlot
from photoorg.index.subset import AllowedLists, AllowedPhotos, Subset
from photoorg.store.catalog.delta import DeltaEvent
from tests.unit.index.vectors import clustered, keys, space

N, DIM, K = 6_000, 32, 10


@pytest.fixture(scope="module", params=["flat", "ivfpq"])
def shard(request, tmp_path_factory) -> Shard:
    folder = tmp_path_factory.mktemp(request.param)
    below = N + 1 if request.param == "flat" else 100
    config = IndexConfig(shards=1, flat_below=below, recall_sample=200, recall_target=0.95)
    x_nd = clustered(N, DIM)
    manifest = build_local([(keys(N), x_nd)], folder, space(DIM), config, version="v")
    assert manifest.kind == request.param
    return open_shard(folder, manifest, 0)


def truth(shard: Shard, mask, queries) -> np.ndarray:
    rows = np.flatnonzero(mask)
    scores = queries @ shard.vectors(rows).T
    return rows[np.argsort(-scores, axis=1, kind="stable")[:, :K]]


def recall(found, expected) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, expected, strict=True)])
    )


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01, 0.003])
def test_filtered_searches_find_what_an_exact_one_finds(shard, share):
    mask = np.random.default_rng(1).random(N) < share
    queries = clustered(100, DIM, seed=5)
    _, rows = shard.search(queries, K, allowed=Subset(shard, mask))
    assert mask[rows[rows >= 0]].all()
    assert recall(rows, truth(shard, mask, queries)) >= 0.95


@pytest.mark.parametrize("share", [0.5, 0.1, 0.05])
def test_a_filter_that_goes_along_with_content_loses_no_recall(shard, share):
    near = shard.vectors(np.arange(N)) @ clustered(1, DIM, seed=9)[0]
    mask = near >= np.quantile(near, 1 - share)
    queries = clustered(100, DIM, seed=5)
    _, rows = shard.search(queries, K, allowed=Subset(shard, mask))
    assert recall(rows, truth(shard, mask, queries)) >= 0.95


def test_fewer_allowed_than_asked_for_are_all_found_and_padded(shard):
    mask = np.zeros(N, np.bool_)
    mask[[5, 77, 4000]] = True
    scores, rows = shard.search(clustered(4, DIM, seed=5), K, allowed=Subset(shard, mask))
    assert all(set(r[:3]) == {5, 77, 4000} for r in rows.tolist())
    assert (rows[:, 3:] == -1).all() and np.isneginf(scores[:, 3:]).all()


def test_nothing_allowed_finds_nothing(shard):
    none = Subset(shard, np.zeros(N, np.bool_))
    assert (shard.search(clustered(2, DIM), K, allowed=none)[1] == -1).all()


def test_a_slot_finds_allowed_photos_of_base_and_changes_and_none_that_left(shard):
    names = hex_ids(shard.ids.keys)
    slot = ShardSlot(shard, Delta(DIM), slot=0, shards=1)
    query = clustered(1, DIM, seed=5)
    fresh = ["00" * 31 + f"{i:02x}" for i in range(3)]
    slot.apply([DeltaEvent(i + 1, "add", p, query[0]) for i, p in enumerate(fresh)])
    slot.apply([DeltaEvent(9, "delete", names[10], None)])
    wanted = [names[10], names[11], fresh[0]]
    raw = np.frombuffer(bytes.fromhex("".join(wanted)), np.uint8).reshape(-1, 32)
    allowed = AllowedPhotos(raw[np.argsort(comparable(raw))])
    (found,) = slot.nearest(query, K, allowed=allowed)
    assert found.ids == [fresh[0], names[11]]
    slot.apply([DeltaEvent(10, "delete", fresh[0], None)])
    assert slot.nearest(query, K, allowed=allowed)[0].ids == [names[11]]


def test_threads_that_ask_at_once_share_one_set(shard):
    slot = ShardSlot(shard, Delta(DIM), slot=0, shards=1)
    allowed = AllowedPhotos(np.ascontiguousarray(shard.ids.keys[::50]))
    query, answers = clustered(1, DIM, seed=5), []

    def ask() -> None:
        answers.append(tuple(slot.nearest(query, K, allowed=allowed)[0].ids))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and len(set(answers)) == 1
    assert allowed.memory_bytes() > 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=300).filter(any),
    st.integers(1, 5),
    st.integers(1, 2_000),
    st.integers(0, 1_000),
)
def test_the_lists_taken_are_the_nearest_that_hold_enough(counts, least, enough, seed):
    counts_l = np.array(counts)
    near_l = np.random.default_rng(seed).permutation(len(counts)).astype(np.float32)
    taken = AllowedLists(counts_l).near(near_l, least, enough)
    holding = [i for i in np.argsort(-near_l) if counts_l[i]]
    assert taken.tolist() == holding[: len(taken)]
    if len(taken) < len(holding):
        assert len(taken) >= least and counts_l[taken].sum() >= enough
        assert len(taken) == least or counts_l[taken[:-1]].sum() < enough
