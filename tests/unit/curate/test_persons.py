"""Faces become persons: clean sets, noise, one huge person, nobody at all."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.curate.association import associate
from photoorg.curate.constraints import NOBODY, Constraints
from photoorg.curate.covers import medoid
from photoorg.curate.persons import FIRST_NEW, FaceSet, Grouping, regroup
from photoorg.curation_config import PeopleConfig
from photoorg.evaluate.clustering import scores
from tests.unit.curate.faces import made_up, unit

CONFIG = PeopleConfig(device="cpu")


def face_set(x_nd, **more) -> FaceSet:
    n = len(x_nd)
    values = {
        "quality_n": np.full(n, 0.8, np.float32),
        "photos_n": np.arange(n),
        "before_n": np.full(n, NOBODY),
    }
    return FaceSet(x_nd, **(values | more))


def predicted(grouping: Grouping) -> list[int | None]:
    return [None if p == NOBODY else int(p) for p in grouping.person_n]


@pytest.mark.parametrize(
    ("sizes", "within", "strangers", "least"),
    [
        ([10] * 20, 0.55, 0, 0.99),
        ([2] * 40, 0.65, 0, 0.97),
        ([120, 60, 30, 15, 8, 4, 3, 2, 2], 0.5, 100, 0.97),
        ([3] * 30, 0.5, 30, 0.95),
        ([400, 5, 5, 5], 0.45, 50, 0.97),
    ],
)
def test_persons_of_all_sizes_are_found_among_strangers(sizes, within, strangers, least):
    x_nd, labels = made_up(sizes, within=within, strangers=strangers)
    found = scores(labels.tolist(), predicted(regroup(face_set(x_nd), Constraints(), CONFIG)))
    assert found.nmi >= least and found.pairwise_precision >= 0.98


def test_five_thousand_faces_of_one_person_are_one_person():
    x_nd, _ = made_up([5000], within=0.5)
    grouping = regroup(face_set(x_nd), Constraints(), CONFIG)
    assert len(set(grouping.person_n.tolist()) - {NOBODY}) == 1
    assert (grouping.person_n != NOBODY).mean() > 0.99


def test_one_person_copied_five_thousand_times_among_others_stays_one():
    x_nd, _ = made_up([8] * 20, within=0.6)
    copies = np.repeat(made_up([1], seed=7)[0], 5000, axis=0)
    grouping = regroup(face_set(np.concatenate([copies, x_nd])), Constraints(), CONFIG)
    assert len(set(grouping.person_n[:5000].tolist())) == 1
    assert len(set(grouping.person_n.tolist()) - {NOBODY}) == 21


@pytest.mark.parametrize(("count", "persons"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_very_few_faces(count, persons):
    x_nd, _ = made_up([count], within=0.8)
    grouping = regroup(face_set(x_nd), Constraints(), CONFIG)
    assert len(set(grouping.person_n.tolist()) - {NOBODY}) == persons


def test_two_strangers_are_not_one_person():
    x_nd, _ = made_up([], strangers=2)
    assert regroup(face_set(x_nd), Constraints(), CONFIG).person_n.tolist() == [NOBODY] * 2


def test_poor_faces_build_no_cluster_and_are_placed_into_one():
    x_nd, _ = made_up([10], within=0.7)
    quality = np.full(10, 0.8, np.float32)
    quality[7:] = 0.1
    grouping = regroup(face_set(x_nd, quality_n=quality), Constraints(), CONFIG)
    assert set(grouping.person_n.tolist()) == {FIRST_NEW}
    assert np.isnan(grouping.core_n[7:]).all() and not np.isnan(grouping.core_n[:7]).any()
    alone = regroup(face_set(x_nd, quality_n=quality * 0), Constraints(), CONFIG)
    assert set(alone.person_n.tolist()) == {NOBODY}


def test_known_persons_keep_their_faces():
    x_nd, labels = made_up([8, 8], within=0.6)
    before = np.where(labels == 0, 41, NOBODY)
    before[4:8] = NOBODY
    grouping = regroup(face_set(x_nd, before_n=before), Constraints(), CONFIG)
    assert set(grouping.person_n[:8].tolist()) == {41}
    assert set(grouping.person_n[8:].tolist()) == {FIRST_NEW}


def test_named_persons_are_not_joined_however_alike():
    x_nd, _ = made_up([12], within=0.7)
    before = np.array([1] * 6 + [2] * 6)
    held = face_set(x_nd, before_n=before, held=frozenset({1, 2}))
    assert regroup(held, Constraints(), CONFIG).person_n.tolist() == before.tolist()


def test_a_word_on_some_faces_divides_their_cluster():
    x_nd, _ = made_up([12], within=0.7)
    told = Constraints(confirmed={0: 1, 1: 2})
    grouping = regroup(face_set(x_nd), told, CONFIG)
    assert grouping.person_n[0] == 1 and grouping.person_n[1] == 2
    assert set(grouping.person_n.tolist()) == {1, 2}


def test_two_persons_joined_by_a_few_look_alikes_come_apart():
    x_nd, labels = made_up([30, 30], within=0.6)
    between = unit(x_nd[:3] + x_nd[30:33])
    grouping = regroup(face_set(np.concatenate([x_nd, between])), Constraints(), CONFIG)
    assert scores(labels.tolist(), predicted(grouping)[:60]).nmi > 0.9


def test_association_wants_every_cluster_alike_and_suggests_the_rest():
    def at(degrees: float) -> list[float]:
        return [np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]

    centroids = np.array([at(0), at(40), at(80), at(200)], np.float32)
    found = associate(
        centroids,
        np.ones(4, np.int64),
        np.full(4, NOBODY),
        same=0.7,
        maybe=0.3,
        apart=lambda a, b: False,
    )
    chain = found.group_k.tolist()
    assert chain[0] != chain[2] and chain[3] not in chain[:3]
    assert {(s.first, s.second) for s in found.suggestions} != set()
    apart = associate(
        centroids,
        np.ones(4, np.int64),
        np.full(4, NOBODY),
        same=0.7,
        maybe=0.3,
        apart=lambda a, b: True,
    )
    assert len(set(apart.group_k.tolist())) == 4 and apart.suggestions == ()


def test_two_known_persons_are_suggested_never_joined():
    x_d = unit(np.ones((1, 4)))
    found = associate(
        np.repeat(x_d, 2, axis=0),
        np.ones(2, np.int64),
        np.array([5, 9]),
        same=0.6,
        maybe=0.4,
        apart=lambda a, b: False,
    )
    assert found.group_k.tolist() == [0, 1]
    assert [(s.first, s.second) for s in found.suggestions] == [(0, 1)]


def test_the_medoid_is_the_most_typical_face_of_good_quality():
    x_nd, _ = made_up([9], within=0.6)
    near = x_nd @ x_nd.T
    best = int(near.sum(axis=1).argmax())
    assert medoid(x_nd) == best
    poor = np.full(9, 0.9, np.float32)
    poor[best] = 0.1
    assert medoid(x_nd, poor, 0.5) != best
    assert medoid(x_nd, np.zeros(9, np.float32), 0.5) == best
