from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.config import SearchConfig
from photoorg.search.signals import Pool, QueryFacts, Signals, combine, measure
from tests.fakes.search import flip, hashes, photo

CONFIG = SearchConfig()
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def measured(query: QueryFacts, candidate, cosine: float = 0.5) -> dict[str, float]:
    other = photo("another", captured_at=NOON, latitude=1.0, longitude=1.0)
    both = Pool([other, candidate], np.array([0.1, cosine]), np.zeros((2, 16), np.float32))
    return measure(query, both).of([1])[0]


def test_measures_only_what_both_sides_know():
    bare = replace(photo("a"), hashes=None, quality=None)
    assert measured(QueryFacts.of(photo("q")), bare) == {"cosine": 0.5}


def test_hashes_are_compared_bit_by_bit():
    ours = hashes("q")
    other = replace(photo("p"), hashes=replace(ours, pdq=flip(ours.pdq, 64)))
    signals = measured(QueryFacts(hashes=ours), other)
    assert (signals["pdq"], signals["phash"]) == (0.75, 1.0)


def test_time_and_place_are_measured_in_minutes_and_meters():
    query = QueryFacts.of(photo("q", captured_at=NOON, latitude=48.0, longitude=11.0))
    near = photo("p", captured_at=NOON + timedelta(minutes=3), latitude=48.0001, longitude=11.0)
    signals = measured(query, near)
    assert signals["minutes_apart"] == 3.0
    assert signals["meters_apart"] == pytest.approx(11.1, abs=0.1)


def test_a_file_time_is_no_evidence_of_when_a_photo_was_taken():
    copied = photo("p", captured_at=NOON)
    copied = replace(copied, exif=replace(copied.exif, captured_source="file"))
    assert "minutes_apart" not in measured(QueryFacts.of(photo("q", captured_at=NOON)), copied)


def test_hashes_of_featureless_images_are_not_trusted():
    blank = replace(photo("p"), hashes=hashes("q", quality=49))
    assert "pdq" not in measured(QueryFacts(hashes=hashes("q")), blank)


known = st.one_of(st.none(), st.floats(0, 1))
apart = st.one_of(st.none(), st.floats(0, 1e7))


@given(st.floats(-1, 1), known, known, known, apart, apart, known, known)
def test_a_score_stays_in_range_and_evidence_only_raises_it(
    cosine, pdq, phash, quality, minutes, meters, event, people
):
    values = [cosine, pdq, phash, quality, minutes, meters, event, people]
    signals = Signals(*(np.array([np.nan if v is None else v]) for v in values))
    (score,) = combine(signals, CONFIG)
    assert cosine - 1e-9 <= score <= 1 + 1e-9


def test_poor_photos_come_after_good_ones_that_are_about_as_near_but_not_after_far_ones():
    unknown = np.full(4, np.nan)
    signals = Signals(
        cosine=np.array([0.50, 0.49, 0.49, 0.20]),
        pdq=unknown,
        phash=unknown,
        quality=np.array([0.05, 0.8, np.nan, 0.9]),
        minutes_apart=unknown,
        meters_apart=unknown,
        same_event=unknown,
        people=unknown,
    )
    order = np.argsort(-combine(signals, CONFIG)).tolist()
    assert order == [1, 2, 0, 3]
