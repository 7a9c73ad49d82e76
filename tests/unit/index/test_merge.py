from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from photoorg.index.merge import merge, rank
from photoorg.models import Candidate

CANDIDATES = st.builds(
    Candidate, st.sampled_from("abcdefghijklmnop"), st.sampled_from([0.1, 0.5, 0.9, -0.2])
)
LISTS = st.lists(st.lists(CANDIDATES, max_size=12, unique_by=lambda c: c.photo_id), max_size=5)


@given(LISTS, st.integers(1, 20))
def test_merging_is_sorting_everything(lists: list[list[Candidate]], k: int) -> None:
    best: dict[str, Candidate] = {}
    for candidate in sorted((c for one in lists for c in one), key=rank):
        best.setdefault(candidate.photo_id, candidate)
    ordered = [sorted(one, key=rank) for one in lists]
    assert merge(ordered, k) == list(best.values())[:k]


def test_equal_scores_go_by_photo_id() -> None:
    a, b, c = (Candidate(i, 0.5) for i in "abc")
    assert merge([[b], [c], [a]], 2) == [a, b]
