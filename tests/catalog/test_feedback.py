"""Feedback and clicks in the catalog, and what is fitted to them."""

import random

import pytest

from photoorg.config import SearchConfig
from photoorg.curate.calibrated import in_force
from photoorg.curate.sweep import sweep
from photoorg.curation_config import DedupConfig
from photoorg.errors import ConflictError, NotFoundError
from photoorg.evaluate.feedback import apply, fit_feedback
from photoorg.store.catalog import Catalog, feedback, photos, spaces, thresholds
from tests.catalog import rows
from tests.catalog.test_duplicates import copies
from tests.fakes.search import SPACE

pytestmark = pytest.mark.postgres


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    made = [rows.photo(f"p{n}") for n in range(60)]
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, SPACE.kind)
    return catalog


def judge(catalog: Catalog, number: int, *, accepted: bool, kind: str = "duplicate") -> int:
    with catalog.tenant("a") as tx:
        photo = rows.photo_id(f"p{number}")
        return feedback.add(tx, kind, photo, accepted=accepted, actor="anna", score=number / 60)


def test_a_fit_changes_nothing_until_it_is_applied(library):
    for number in range(60):
        judge(library, number, accepted=number >= 40)
    with library.tenant("a") as tx:
        fitted = fit_feedback(tx)
        assert thresholds.get_all(tx, SPACE.id) == {}
        ((name, (before, after)),) = fitted.changes.items()
        assert (name, before) == ("duplicate.accept", None) and 39 / 60 < after < 40 / 60
        apply(tx, fitted, "anna")
        assert thresholds.get_all(tx, SPACE.id) == {name: after}
        assert fit_feedback(tx).changes == {}
        told = tx.conn.execute("SELECT action, detail->>'name' FROM audit_log").fetchall()
        assert told == [("threshold.set", name)]
        assert thresholds.remove(tx, SPACE.id, name)
        assert thresholds.get_all(tx, SPACE.id) == {}


def test_a_change_can_be_undone_and_the_undo_too_but_not_under_a_later_one(library):
    with library.tenant("a") as tx:
        first = thresholds.change(tx, SPACE.id, {"x": 0.4, "y": 0.5}, "anna").token
        second = thresholds.change(tx, SPACE.id, {"x": 0.6, "y": 0.5}, "anna").token
        assert thresholds.change(tx, SPACE.id, {"x": 0.6}, "anna").token is None
        with pytest.raises(ConflictError, match="x"):
            thresholds.undo(tx, first, "anna")
        undone = thresholds.undo(tx, second, "anna")
        assert (undone.space_id, undone.values) == (SPACE.id, {"x": (0.6, 0.4)})
        assert thresholds.undo(tx, undone.token, "anna").values == {"x": (0.4, 0.6)}
        assert thresholds.get_all(tx, SPACE.id) == {"x": 0.6, "y": 0.5}
        with pytest.raises(NotFoundError, match="made-up"):
            thresholds.undo(tx, "made-up", "anna")
    with library.tenant("b") as tx, pytest.raises(NotFoundError):
        thresholds.undo(tx, first, "anna")


def test_what_was_fitted_for_duplicates_is_what_a_scan_and_a_preview_use(library):
    config = DedupConfig(neighbours=0, looks=0)
    made = copies("pair", 2)
    with library.tenant("a") as tx:
        photos.copy_part(tx, "more", 0, rows.photos(*made), rows.rejects())
    assert sweep(library, "a", config).groups == 1
    with library.tenant("a") as tx:
        token = thresholds.change(tx, SPACE.id, {"duplicate.accept": 0.999}, "anna").token
        assert in_force(tx, config).confidence == 0.999
    strict = sweep(library, "a", config)
    assert (strict.groups, strict.confidence) == (0, 0.999)
    assert sweep(library, "a", config, confidence=0.5).groups == 1
    with library.tenant("a") as tx:
        thresholds.undo(tx, token, "anna")
    assert sweep(library, "a", config).confidence == config.confidence


def test_the_last_word_on_an_answer_counts_and_can_be_withdrawn(library):
    judge(library, 1, accepted=False)
    second = judge(library, 1, accepted=True)
    with library.tenant("a") as tx:
        assert [v.accepted for v in feedback.verdicts(tx, SPACE.id)] == [True]
        assert feedback.withdraw(tx, second) and not feedback.withdraw(tx, second)
        assert [v.accepted for v in feedback.verdicts(tx, SPACE.id)] == [False]


def test_clicks_tell_where_people_look(library):
    with library.tenant("a") as tx:
        for position in (1, 4):
            feedback.add_click(tx, rows.photo_id("p1"), position=position, shown=10, actor="anna")
        assert feedback.positions(tx) == [1, 4]
        assert fit_feedback(tx).mean_click_position == 2.5


def test_photos_there_are_not_and_tenants_without_a_space_are_refused(library):
    with library.tenant("a") as tx, pytest.raises(NotFoundError):
        feedback.add(tx, "search", rows.photo_id("nobody"), accepted=True, actor="anna")
    with library.tenant("b") as tx:
        assert feedback.positions(tx) == []
        with pytest.raises(NotFoundError):
            fit_feedback(tx)


def test_answers_to_words_and_looks_are_fitted_by_what_looks_gave(library):
    """A fused score is a place in two lists: only `relevance` can be held against a threshold."""
    with library.tenant("a") as tx:
        for number in range(60):
            signals = {"cosine": number / 100, "text": 3.0, "relevance": number / 100}
            if number % 10 == 0:
                del signals["relevance"], signals["cosine"]
            feedback.add(
                tx,
                "search",
                rows.photo_id(f"p{number}"),
                accepted=number >= 30,
                actor="anna",
                score=1.0 - number / 100,
                signals=signals,
            )
        (fit,) = fit_feedback(tx).fits
    assert fit.verdicts == 54 and 0.29 < fit.values["search.accept"] <= 0.31


def test_searches_share_the_weights_that_one_kind_of_them_was_fitted_to(library):
    """Answers to words have no time and no place: what they say must not forget these."""
    draw = random.Random(2)
    with library.tenant("a") as tx:
        for number in range(240):
            cosine, near = draw.uniform(0.3, 0.7), draw.random() < 0.5
            worth = cosine + (0.5 * (1 - cosine) if near else 0.0)
            signals = {"cosine": cosine, "meters_apart": 5.0 if near else 5_000.0}
            feedback.add(
                tx, "similar", rows.photo_id(f"p{number % 60}"), accepted=worth > 0.6,
                actor="anna", score=cosine, signals=signals, query=str(number),
            )  # fmt: skip
            poor = draw.random() < 0.5
            told = {"cosine": cosine, "quality": 0.1 if poor else 0.9}
            feedback.add(
                tx, "search", rows.photo_id(f"p{number % 60}"),
                accepted=cosine + (0.0 if poor else 0.3 * (1 - cosine)) > 0.55,
                actor="anna", score=cosine, signals=told, query=str(number),
            )  # fmt: skip
        fitted = fit_feedback(tx, SearchConfig())
    kinds = {fit.kind: fit.values for fit in fitted.fits}
    assert kinds["similar"]["rerank.place"] > 0.2 and set(kinds["search"]) == {"search.accept"}
    assert set(fitted.changes) == {"rerank.place", "similar.accept", "search.accept"}
