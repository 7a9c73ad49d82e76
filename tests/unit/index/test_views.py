"""Several vectors a photo: any index of them gives what brute force gives, best view by photo."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoorg.config import IndexConfig
from photoorg.errors import SpaceMismatchError
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.folding import Changes, fold_shard, folded, retrained
from photoorg.index.photo_ids import hex_ids, sort_order
from photoorg.index.rescore import unit
from photoorg.index.shard import Shard, open_shard
from photoorg.index.slot import Nearest, ShardSlot
from photoorg.index.subset import AllowedPhotos, Subset
from photoorg.index.views import best_views
from photoorg.search.fanout import merge
from photoorg.search.live import LiveShards
from photoorg.search.ports import SlotAnswer
from photoorg.views import expand
from tests.unit.index.test_slot import EVENTS, IDS, KEYS, Events, Logged, N
from tests.unit.index.vectors import clustered, keys, space

DIM = 16
VIEWS = expand(["full", "centre", "grid2"])
V = len(VIEWS)
SPACE = replace(space(DIM), views=VIEWS)
X = clustered(2 * N * V, DIM, seed=3).reshape(2 * N, V * DIM)
QUERIES = clustered(4, DIM, seed=4)
Wide = dict[str, NDArray[np.float32]]


def log(events: Events) -> list[Logged]:
    return [
        Logged(seq, op, IDS[photo], X[row] if op == "add" else None)
        for seq, (op, photo, row) in enumerate(events, start=1)
    ]


def visible(base: int, events: Events) -> Wide:
    there = {IDS[i]: X[i] for i in range(base)}
    hidden = set()
    for op, photo, row in events:
        if op == "add":
            there[IDS[photo]] = X[row]
        elif op == "delete":
            there.pop(IDS[photo], None)
        if op == "hide":
            hidden.add(IDS[photo])
        elif op in ("show", "delete"):
            hidden.discard(IDS[photo])
    return {i: x for i, x in there.items() if i not in hidden}


def brute_force(live: Wide, query: NDArray[np.float32], k: int) -> list[tuple[float, str, int]]:
    """Score, photo and view: every view of every photo compared, the best of each photo kept."""
    found = []
    for photo_id, wide in live.items():
        scores = unit(wide.reshape(V, DIM)) @ query
        found.append((float(scores.max()), photo_id, int(scores.argmax())))
    return sorted(found, key=lambda f: (-f[0], f[1]))[:k]


def check(
    answer: SlotAnswer,
    live: Wide,
    query: NDArray[np.float32],
    k: int,
    tolerance: float = 2e-3,
) -> None:
    ids, scores = list(answer.ids), answer.scores
    views = np.zeros(0, np.int64) if answer.views is None else answer.views
    want = brute_force(live, query, k)
    assert len(ids) == len(set(ids)) == len(want)
    np.testing.assert_allclose(scores, [w[0] for w in want], atol=tolerance)
    sure = {w[1] for w in want if w[0] > want[-1][0] + 2 * tolerance}
    assert sure <= set(ids)
    for photo_id, score, view in zip(ids, scores, views, strict=True):
        # The view named is one that really scores so.
        own = unit(live[photo_id].reshape(V, DIM)) @ query
        assert abs(float(own[view]) - float(score)) < tolerance


def build(base: int, shards: int, folder: Path, **more: object) -> list[Shard]:
    config = IndexConfig(shards=shards, threads=1, **more)
    manifest = build_local([(KEYS[:base], X[:base])], folder, SPACE, config, version="v")
    assert manifest.vectors == base * V
    return [open_shard(folder, manifest, s) for s in range(shards)]


def live_shards(shards: list[Shard]) -> LiveShards:
    slots = [
        ShardSlot(shard, Delta(DIM, views=V), slot=n, shards=len(shards))
        for n, shard in enumerate(shards)
    ]
    return LiveShards(slots, len(shards), SPACE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, N), EVENTS, st.integers(1, 4), st.integers(1, 25), st.integers(1, 9))
def test_any_shards_delta_and_tombstones_give_the_best_view_of_each_photo(
    base: int, events: Events, shards: int, k: int, step: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        live = live_shards(build(base, shards, Path(name)))
        run = log(events)
        for i in range(0, len(run), step):
            live.apply(run[i : i + step])
        there = visible(base, events)
        for query, answer in zip(QUERIES, live.search(QUERIES, k, k), strict=True):
            check(answer, there, query, k)
            wholes = [unit(there[i].reshape(V, DIM)[:1])[0] for i in answer.ids]
            if wholes:
                np.testing.assert_allclose(answer.vectors, wholes, atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, N), EVENTS, st.sets(st.integers(0, N - 1)), st.integers(1, 12))
def test_a_filter_leaves_the_best_views_of_what_it_allows(
    base: int, events: Events, chosen: set[int], k: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        live = live_shards(build(base, 2, Path(name)))
        live.apply(log(events))
        some = KEYS[sorted(chosen)]
        allowed = AllowedPhotos(some[sort_order(some)])
        there = {i: x for i, x in visible(base, events).items() if i in {IDS[c] for c in chosen}}
        answers = live.search(QUERIES, k, k, allowed=allowed)
        for query, answer in zip(QUERIES, answers, strict=True):
            check(answer, there, query, k)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, N), EVENTS, st.integers(1, 3), st.integers(1, 3))
def test_folding_the_changes_into_other_shards_changes_no_answer(
    base: int, events: Events, before: int, after: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        old, new = Path(name) / "old", Path(name) / "new"
        config = IndexConfig(shards=before, threads=1)
        manifest = build_local([(KEYS[:base], X[:base])], old, SPACE, config, version="v")
        shards = [open_shard(old, manifest, s) for s in range(before)]
        last = {IDS[p]: (X[r] if op == "add" else None) for op, p, r in events if op in _BOTH}
        changes = Changes.of(
            SPACE.width, {i: None if x is None else x.astype(np.float16) for i, x in last.items()}
        )
        trained = retrained(manifest, shards[0], old, slot=0, shards=after)
        infos = [fold_shard(trained, shards, changes, new, s, SPACE) for s in range(after)]
        fresh = folded(manifest, infos, version="w", delta_seq=9)
        there = visible(base, [e for e in events if e[0] in _BOTH])
        assert fresh.vectors == V * len(there)
        live = live_shards([open_shard(new, fresh, s) for s in range(after)])
        for query, answer in zip(QUERIES, live.search(QUERIES, 10, 10), strict=True):
            check(answer, there, query, 10)


_BOTH = ("add", "delete")


def test_an_inverted_file_finds_the_best_views_too(tmp_path: Path) -> None:
    n, k, queries = 3_000, 10, clustered(60, 32, seed=8)
    many = keys(n)
    x = clustered(n * V, 32, seed=9)
    wide = replace(space(32), views=VIEWS)
    config = IndexConfig(flat_below=1_000, shards=2, threads=1, recall_sample=200)
    manifest = build_local([(many, x.reshape(n, -1))], tmp_path, wide, config, version="v")
    assert manifest.kind == "ivfpq" and manifest.vectors == n * V
    assert manifest.recall_at_10 >= 0.9
    parts = []
    for number in range(2):
        slot = ShardSlot(
            open_shard(tmp_path, manifest, number), Delta(32, views=V), slot=number, shards=2
        )
        parts.append(slot.nearest(queries, k))
    truth_nk = np.argsort(-(queries @ x.T).reshape(60, n, V).max(axis=2), axis=1)[:, :k]
    ids = hex_ids(many)
    found = 0
    for number, near in enumerate(zip(*parts, strict=True)):
        best = merge([_answer(part) for part in near], k)
        found += len(set(best.ids) & {ids[i] for i in truth_nk[number]})
    assert found / truth_nk.size >= 0.9


def _answer(near: Nearest) -> SlotAnswer:
    return SlotAnswer(tuple(near.ids), near.scores, near.vectors, views=near.views)


def test_photos_whose_many_views_crowd_the_top_do_not_hide_the_others(tmp_path: Path) -> None:
    """All views of a few photos are nearer than any view of the rest: still k photos come."""
    query = QUERIES[0]
    x = X[:N].copy()
    for row in range(5):
        x[row] = np.tile(query, V)
    manifest = build_local(
        [(KEYS, x)], tmp_path, SPACE, IndexConfig(shards=1, threads=1), version="v"
    )
    shard = open_shard(tmp_path, manifest, 0)
    _, photos, _ = shard.matches(query[None], 20)
    assert len(set(photos[0].tolist())) == 20 and (photos >= 0).all()
    _, all_photos, _ = shard.matches(query[None], 2 * N)
    assert sorted(all_photos[0][:N].tolist()) == list(range(N)) and (all_photos[0][N:] == -1).all()
    few = Subset(shard, np.arange(N) < 3)
    _, some, _ = shard.matches(query[None], 5, allowed=few)
    assert sorted(some[0].tolist()) == [-1, -1, 0, 1, 2]


def test_a_photo_is_compared_with_others_as_a_whole(tmp_path: Path) -> None:
    slot = ShardSlot(build(N, 1, tmp_path)[0], Delta(DIM, views=V))
    slot.apply([Logged(1, "add", IDS[3], X[N + 3])])
    for place, row in ((3, N + 3), (4, 4)):
        vector = slot.vector(IDS[place])
        assert vector is not None
        np.testing.assert_allclose(vector, unit(X[row].reshape(V, DIM))[0], atol=2e-3)


def test_vectors_of_other_views_are_refused(tmp_path: Path) -> None:
    delta = Delta(DIM, views=V)
    with pytest.raises(SpaceMismatchError, match="shape"):
        delta.apply([Logged(1, "add", IDS[0], X[0, :DIM])])
    config = IndexConfig(shards=1, threads=1)
    manifest = build_local([(KEYS, X[:N])], tmp_path, SPACE, config, version="v")
    plain = replace(manifest, space=space(DIM))
    with pytest.raises(SpaceMismatchError):
        open_shard(tmp_path, plain, 0)


@given(st.lists(st.integers(-1, 6), max_size=14), st.integers(1, 9))
def test_best_views_keeps_the_first_row_of_each_photo(photos: list[int], k: int) -> None:
    photos = [p for p in photos if p >= 0] + [p for p in photos if p < 0]
    scores = -np.arange(len(photos), dtype=np.float32)
    best, found, places = best_views(scores[None], np.array([photos], np.int64), k)
    want = list(dict.fromkeys(p for p in photos if p >= 0))[:k]
    assert found.shape == best.shape == places.shape == (1, k)
    assert found[0, : len(want)].tolist() == want and (found[0, len(want) :] == -1).all()
    assert [photos[p] for p in places[0, : len(want)]] == want
    assert best[0, : len(want)].tolist() == [float(scores[photos.index(p)]) for p in want]
