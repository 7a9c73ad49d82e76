"""Whatever is proposed, what people said holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.curate.constraints import NOBODY, Constraints, settle

ROWS = 10
rows = st.integers(0, ROWS - 1)
persons = st.integers(0, 3)
pairs = st.lists(st.tuples(rows, rows).filter(lambda p: p[0] != p[1]), max_size=8)


@st.composite
def told(draw) -> Constraints:
    confirmed = draw(st.dictionaries(rows, persons, max_size=4))
    excluded = draw(st.dictionaries(rows, st.frozensets(persons, min_size=1), max_size=5))
    for row, person in confirmed.items():
        if row in excluded:
            excluded[row] = excluded[row] - {person}
    return Constraints(confirmed, excluded, must=draw(pairs), cannot=draw(pairs))


def run(proposed, scores, photos, constraints, kept=None):
    return settle(
        np.array(proposed, np.int64),
        np.array(scores, np.float32),
        np.array(photos, np.int64),
        constraints,
        kept,
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(-1, 3), min_size=ROWS, max_size=ROWS),
    st.lists(st.floats(0, 1, width=32), min_size=ROWS, max_size=ROWS),
    st.lists(st.integers(0, 5), min_size=ROWS, max_size=ROWS),
    told(),
)
def test_constraints_always_hold(proposed, scores, photos, constraints):
    person = run(proposed, scores, photos, constraints)
    for row, said in constraints.confirmed.items():
        assert person[row] == said
    for row, barred in constraints.excluded.items():
        assert person[row] not in barred
    for a, b in constraints.cannot:
        both = a in constraints.confirmed and b in constraints.confirmed
        if person[a] != NOBODY and not both:
            told_pair = {a, b} & constraints.confirmed.keys()
            linked = bool(constraints.must)
            assert person[a] != person[b] or (told_pair and linked)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=ROWS, max_size=ROWS), pairs)
def test_rows_that_must_be_one_person_are(proposed, must):
    person = run(proposed, [0.5] * ROWS, range(ROWS), Constraints(must=must))
    assert all(person[a] == person[b] for a, b in must)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-1, 3), min_size=ROWS, max_size=ROWS),
    st.lists(st.integers(0, 3), min_size=ROWS, max_size=ROWS),
)
def test_without_a_word_nobody_is_twice_in_a_photo_and_everybody_is_somewhere(proposed, photos):
    person = run(proposed, np.linspace(0, 1, ROWS), photos, Constraints())
    seen = [(photo, who) for photo, who in zip(photos, person, strict=True) if who != NOBODY]
    assert len(seen) == len(set(seen))
    wanted = {(p, w) for p, w in zip(photos, proposed, strict=True) if w != NOBODY}
    assert set(seen) == wanted


def test_the_surer_face_stays_and_a_word_or_a_held_person_outweighs_the_rule():
    proposed, scores, photos = [1, 1], [0.4, 0.9], [0, 0]
    assert run(proposed, scores, photos, Constraints()).tolist() == [NOBODY, 1]
    said = Constraints(confirmed={0: 1})
    assert run(proposed, scores, photos, said).tolist() == [1, NOBODY]
    both = Constraints(must=[(0, 1)])
    assert run(proposed, scores, photos, both).tolist() == [1, 1]
    kept = np.array([True, True])
    assert run(proposed, scores, photos, Constraints(), kept).tolist() == [1, 1]


def test_a_link_that_contradicts_confirmations_has_no_say():
    said = Constraints(confirmed={0: 1, 1: 2}, must=[(0, 1)])
    assert run([0, 0], [1, 1], [0, 1], said).tolist() == [1, 2]


def test_links_do_not_join_what_may_not_be_joined_through_others():
    said = Constraints(must=[(0, 1), (1, 2)], cannot=[(0, 2)])
    person = run([1, 1, 1], [0.9, 0.8, 0.7], [0, 1, 2], said)
    assert person[0] == person[1] == 1 and person[2] == NOBODY
