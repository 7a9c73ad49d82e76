"""Views: names, the rectangles they stand for, and the identity they give to a space."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.errors import ConfigError, SpaceMismatchError
from photoorg.space import EmbeddingSpace
from photoorg.views import enlargement, expand, in_words, part_of, pixels_of

ALL = expand(["full", "centre", "grid2", "grid3", "grid4"])
PLAIN = EmbeddingSpace("s", "e", "w", "1", "p", 8)


@pytest.mark.parametrize("view", ALL)
def test_every_view_lies_inside_the_photo(view: str) -> None:
    part = part_of(view)
    assert 0 <= part.left and part.left + part.width <= 1 + 1e-9
    assert 0 <= part.top and part.top + part.height <= 1 + 1e-9
    assert part.width > 0 and part.height > 0


@given(st.sampled_from(ALL), st.integers(1, 400), st.integers(1, 400))
def test_pixels_are_never_none_and_never_outside(view: str, width: int, height: int) -> None:
    left, top, right, bottom = pixels_of(view, width, height)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height


@given(
    st.sampled_from(["grid2", "grid3", "grid4"]),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_tiles_leave_no_gap(grid: str, x: float, y: float) -> None:
    parts = [part_of(view) for view in expand(["full", grid])[1:]]
    assert any(
        p.left - 1e-9 <= x <= p.left + p.width + 1e-9
        and p.top - 1e-9 <= y <= p.top + p.height + 1e-9
        for p in parts
    )


@pytest.mark.parametrize(
    "names", [[], ["centre"], ["full", "full"], ["full", "middle"], ["full", "grid9"]]
)
def test_other_names_are_refused_with_those_there_are(names: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"full|grid2"):
        expand(names)


def test_a_space_of_wholes_keeps_the_id_and_the_form_it_always_had() -> None:
    assert PLAIN.id == "s-cfd4aa492f8f" and "views" not in PLAIN.to_dict()
    assert EmbeddingSpace.from_dict(PLAIN.to_dict()) == PLAIN
    assert PLAIN.width == PLAIN.dim


def test_views_make_another_space() -> None:
    parts = replace(PLAIN, views=expand(["full", "grid2"]))
    assert parts.id != PLAIN.id and parts.width == 5 * 8
    assert EmbeddingSpace.from_dict(parts.to_dict()) == parts
    with pytest.raises(SpaceMismatchError):
        PLAIN.require(parts.id, "A vector file")


def test_smaller_views_want_larger_pictures() -> None:
    assert enlargement(["full"]) == 1
    assert enlargement(expand(["full", "grid2"])) == pytest.approx(1 / 0.6)


def test_views_have_words() -> None:
    assert in_words("centre") == "the centre"
    assert in_words("grid2-row1-column2") == "the part at the top right"
    assert in_words("grid3-row2-column1") == "the part at the left"
    assert in_words("grid3-row2-column2") == "the centre"
