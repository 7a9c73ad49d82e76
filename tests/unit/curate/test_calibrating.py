"""Weights and threshold fitted to labelled photos."""

import numpy as np
import pytest

from photoorg.curate.calibrated import ACCEPT, NAMES, values_of, with_values
from photoorg.curate.calibrating import WANTED_PRECISION, calibrate
from photoorg.curate.confidence import FITTED, Model
from photoorg.curate.duplicates import find
from photoorg.curation_config import DedupConfig
from photoorg.errors import InputError
from tests.unit.curate.library import facts

WRONG = DedupConfig(floor=0.0, weights=(0.0,) * 12 + (-1.0,), confidence=0.9)


def library(groups: int, *, strangers_at: int = 80):
    """Groups of three copies some bits apart, and a look-alike of each that is none."""
    rng = np.random.default_rng(1)
    made, labels = [], []
    for number in range(groups):
        pdq = int.from_bytes(rng.bytes(32))
        phash = rng.bytes(8)
        for copy in range(3):
            bits = (pdq ^ ((1 << (4 * copy)) - 1)).to_bytes(32)
            made.append({"pdq": bits, "phash": phash})
            labels.append(f"g{number}")
        far = (pdq ^ ((1 << strangers_at) - 1)).to_bytes(32)
        made.append({"pdq": far, "phash": phash, "width": 2500})
        labels.append("")
    photos = facts(*made)
    return photos, dict(zip(photos.ids(), labels, strict=True))


def test_a_wrong_model_is_put_right_and_judged_on_what_it_has_not_seen():
    photos, labels = library(20)
    found = find(photos, WRONG)
    done = calibrate(photos, found, labels, WRONG)
    truth = {
        (a, b)
        for a, one in labels.items()
        for b, other in labels.items()
        if a < b and one and one == other
    }
    assert done.same == len(truth) == 60
    assert done.before.together == {}
    right = len(set(done.after.together) & truth)
    assert right / len(done.after.together) >= WANTED_PRECISION
    assert right / len(truth) >= 0.95
    config = with_values(WRONG, values_of(done.model, done.confidence))
    assert config.confidence == done.confidence
    assert config.weights == pytest.approx((*done.model.weights, done.model.bias), abs=1e-6)


def test_files_outside_the_truth_say_nothing():
    photos, labels = library(20)
    found = find(photos, WRONG)
    few = {photo: label for photo, label in labels.items() if label in ("", "g0", "g1")}
    with pytest.raises(InputError, match="6 compared pairs share a group"):
        calibrate(photos, found, few, WRONG)


def test_values_go_before_the_configuration_and_unknown_ones_are_left_alone():
    values = values_of(Model(FITTED.weights, FITTED.bias), 0.2)
    assert set(values) == {ACCEPT, *NAMES}
    config = with_values(DedupConfig(), values)
    assert (config.confidence, config.floor) == (0.2, 0.2)
    assert with_values(DedupConfig(), {}) == DedupConfig()
    some = {name: 1.0 for name in NAMES[:-1]} | {"search.accept": 0.4}
    assert with_values(DedupConfig(), some) == DedupConfig()
