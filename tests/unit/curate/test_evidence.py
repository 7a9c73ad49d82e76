from dataclasses import replace

import numpy as np
import pytest

from photoorg.curate.confidence import FEATURES, FITTED, Model, features, fit, model_of
from photoorg.curate.evidence import KINDS, gather, in_words, kinds
from photoorg.curate.turns import TURNS, turned
from tests.unit.curate.library import facts

PDQ = bytes(range(32))
SAME = {"pdq": PDQ, "phash": b"\x0f" * 8}


def pair(one, two, cosine=float("nan")):
    photos = facts(one, two)
    rows = np.zeros(1, np.int32)
    return gather(photos, rows, rows + 1, np.asarray([cosine]))


def kind(evidence) -> str:
    return KINDS[kinds(evidence, burst_seconds=3.0)[0]]


def flipped(bits: int) -> bytes:
    return (int.from_bytes(PDQ) ^ ((1 << bits) - 1)).to_bytes(32)


def test_kinds():
    assert kind(pair(SAME, SAME)) == "exact"
    assert kind(pair(SAME, SAME | {"width": 400, "height": 300})) == "copy"
    assert kind(pair(SAME, SAME | {"mime": 5})) == "copy"
    assert kind(pair(SAME, SAME | {"pdq": flipped(60)})) == "edit"
    assert kind(pair(SAME, SAME | {"width": 2000})) == "edit"
    shot = {"camera": 7, "taken": 100.0}
    assert kind(pair(SAME | shot, SAME | shot | {"taken": 101.0})) == "burst"
    assert kind(pair(SAME | shot, SAME | shot)) == "exact"
    assert kind(pair(SAME | shot, SAME | shot | {"taken": 500.0})) == "exact"
    assert kind(pair(SAME | {"burst": 3}, SAME | {"burst": 3, "pdq": flipped(9)})) == "burst"


@pytest.mark.parametrize("turn", TURNS[1:])
def test_a_turned_copy_is_found_to_be_one_and_its_shape_is_compared_turned(turn):
    rng = np.random.default_rng(5)
    words = rng.integers(0, 2**64, (1, 4), dtype=np.uint64)
    other = turned(words, turn).tobytes()
    quarter = turn in ("rot90", "rot270", "transpose", "transverse")
    size = {"width": 3000, "height": 4000} if quarter else {}
    evidence = pair({"pdq": words.tobytes()}, {"pdq": other} | size)
    assert evidence.pdq[0] == 0
    assert evidence.turn[0] != 0
    assert evidence.shape[0] == pytest.approx(0)
    assert "once one is turned" in in_words(evidence)[0][0]


def test_poor_hashes_say_nothing():
    evidence = pair(SAME | {"pdq_quality": 10}, SAME)
    assert np.isnan(evidence.pdq[0])
    assert kind(evidence) == "edit"


def test_nearer_means_surer_and_another_shot_means_less_sure():
    near = FITTED.confidence(pair(SAME, SAME | {"pdq": flipped(4)}, 0.95))
    further = {"pdq": flipped(50), "phash": b"\x0f" * 6 + b"\xf0" * 2}
    far = FITTED.confidence(pair(SAME, SAME | further, 0.6))
    shot = {"camera": 7, "taken": 100.0}
    other = pair(SAME | shot, SAME | shot | {"taken": 101.0, "pdq": flipped(4)}, 0.95)
    assert near[0] > 0.8 > far[0]
    assert FITTED.confidence(other)[0] < near[0]
    assert FITTED.alike(other)[0] == pytest.approx(near[0], abs=0.01)


def test_what_changed_makes_less_sure_and_is_no_matter_within_a_burst():
    still = pair(SAME, SAME | {"pdq": flipped(30)}, 0.8)
    still = replace(still, aligned=np.ones(1), steady=np.ones(1), changed=np.zeros(1))
    other = replace(still, changed=np.full(1, 0.5), matched=np.full(1, 0.2))
    assert FITTED.confidence(other)[0] < FITTED.confidence(still)[0]
    assert FITTED.alike(other)[0] == FITTED.alike(still)[0]
    assert "something else" in " ".join(in_words(other)[0])
    assert "something else" not in " ".join(in_words(still)[0])


def test_what_moved_makes_less_sure_and_is_no_matter_within_a_burst():
    still = pair(SAME, SAME | {"pdq": flipped(60)}, 0.9)
    still = replace(still, aligned=np.ones(1), steady=np.ones(1), moved=np.zeros(1))
    other = replace(still, moved=np.full(1, 0.05))
    assert FITTED.confidence(still)[0] > 0.8 > FITTED.confidence(other)[0]
    assert FITTED.alike(other)[0] == FITTED.alike(still)[0]
    assert "moved" in " ".join(in_words(other)[0])
    assert "moved" not in " ".join(in_words(still)[0])


def test_words_say_what_was_found():
    shot = {"camera": 7, "taken": 100.0}
    words = in_words(pair(SAME | shot, SAME | shot | {"taken": 7300.0}, 0.9))[0]
    assert "pictures differ in 0 of 256 bits" in words
    assert "same camera" in words
    assert "taken 2 hours apart" in words


def test_fitting_finds_weights_that_separate_and_never_diverges():
    rng = np.random.default_rng(0)
    x = rng.random((400, len(FEATURES)))
    same = x[:, 0] + x[:, 3] > 1.0
    start = Model((0.0,) * len(FEATURES), 0.0)
    fitted = fit(x, same, start, strength=0.01)
    logits = x @ np.asarray(fitted.weights) + fitted.bias
    assert ((logits > 0) == same).mean() > 0.97
    assert max(map(abs, fitted.weights)) < 1_000


def test_configured_weights_replace_the_fitted_ones():
    numbers = [1.0] * len(FEATURES) + [-2.0]
    assert model_of(numbers) == Model((1.0,) * len(FEATURES), -2.0)
    assert model_of(None) is FITTED
    assert features(pair(SAME, SAME)).shape == (1, len(FEATURES))
