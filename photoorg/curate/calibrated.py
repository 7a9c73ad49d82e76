"""The settings in force: those configured, and what was fitted for tenant and space."""

from __future__ import annotations

from collections.abc import Mapping

from photoorg.curate.confidence import FEATURES, Model
from photoorg.curation_config import DedupConfig, PeopleConfig
from photoorg.store.catalog import spaces, thresholds
from photoorg.store.catalog.connection import Transaction

ACCEPT = "duplicate.accept"
ACCEPT_PERSON = "person.accept"
WEIGHT = "duplicate.weight."
NAMES = (*(WEIGHT + name for name in FEATURES), WEIGHT + "bias")
LEAST, MOST = 0.05, 0.999


def in_force(tx: Transaction, config: DedupConfig) -> DedupConfig:
    """`config` with what was fitted for the tenant's default space of images, if anything was."""
    space = spaces.get_default(tx, "image")
    return config if space is None else with_values(config, thresholds.get_all(tx, space.id))


def people_in_force(tx: Transaction, config: PeopleConfig) -> PeopleConfig:
    """`config` with the least cosine that people's verdicts on faces were fitted to, if higher."""
    space = spaces.get_default(tx, "image")
    fitted = None if space is None else thresholds.get(tx, space.id, ACCEPT_PERSON)
    least = max(config.least_cosine, min(fitted or 0.0, MOST))
    return config.model_copy(update={"least_cosine": least})


def with_values(config: DedupConfig, values: Mapping[str, float]) -> DedupConfig:
    """`config` with the fitted values by name; others, and weights of other features, are ignored.

    Pairs are stored from the threshold on at least, whatever the floor says.
    """
    found: dict[str, object] = {}
    if ACCEPT in values:
        found["confidence"] = min(max(values[ACCEPT], LEAST), MOST)
        found["floor"] = min(config.floor, values[ACCEPT])
    told = {name for name in values if name.startswith(WEIGHT)}
    if told == set(NAMES):
        found["weights"] = tuple(values[name] for name in NAMES)
    return DedupConfig.model_validate(config.model_dump() | found)


def values_of(model: Model, confidence: float) -> dict[str, float]:
    """A fitted model and threshold as values by name."""
    weights = [round(w, 6) for w in (*model.weights, model.bias)]
    return dict(zip(NAMES, weights, strict=True)) | {ACCEPT: round(confidence, 6)}
