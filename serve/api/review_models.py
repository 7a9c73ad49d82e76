"""Request and response bodies of /v1/anomalies, /v1/rules, /v1/feedback and /v1/clicks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from photoorg.curate.rule_runs import Outcome
from photoorg.store.catalog.anomalies import Anomaly
from photoorg.store.catalog.rules import RuleRun
from serve.api.models import Body, PhotoId

PhotoIds = Annotated[list[PhotoId], Field(min_length=1, max_length=1_000)]
Signals = Annotated[dict[str, float], Field(max_length=50)]
Text = Annotated[str, Field(max_length=1_000)]
Finite = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class AnomalyView(BaseModel):
    """A photo unlike all others, and by how much."""

    photo_id: PhotoId
    uri: str
    score: float = Field(description="0..1; 0.5 and more is in the queue.")
    nearest: float = Field(description="Cosine distance to the nearest other photo.")
    density: float = Field(description="Local outlier factor, about 1 among its like.")
    ood: float = Field(description="Robust z-score of the distance to the tenth neighbour.")
    reasons: list[str]
    status: Literal["open", "dismissed"]
    found_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    thumbnail: str

    @classmethod
    def of(cls, anomaly: Anomaly) -> AnomalyView:
        """The view of a catalog record."""
        shown = {n: getattr(anomaly, n) for n in cls.model_fields if n != "thumbnail"}
        return cls(**shown, thumbnail=f"/v1/photos/{anomaly.photo_id}/thumbnail")


class AnomalyPage(BaseModel):
    """The queue, the strangest first. `next_cursor` is null on the last page."""

    anomalies: list[AnomalyView]
    next_cursor: str | None


class PhotosBody(Body):
    """Photos to act on."""

    photo_ids: PhotoIds


class PhotosChanged(BaseModel):
    """The photos whose state changed; others were so before."""

    photo_ids: list[PhotoId]


class RulesBody(Body):
    """Rules as `photoorg rules check --help` shows them, and whether only to try them."""

    rules: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]
    dry_run: bool = Field(True, description="Tell what would happen and change nothing.")


class OutcomeView(BaseModel):
    """What one rule did, or would do."""

    run_id: int | None = Field(description="What undo takes; null if nothing was changed.")
    name: str
    action: str
    photos: int
    bytes: int
    matched: int
    kept: int = Field(description="Photos left alone as the copy that stays of duplicates.")
    examples: list[PhotoId]

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeView:
        """The view of an outcome."""
        shown = {name: getattr(outcome, name) for name in cls.model_fields}
        return cls(**{**shown, "examples": list(outcome.examples)})


class RulesDone(BaseModel):
    """Outcomes in the order of the rules."""

    dry_run: bool
    rules: list[OutcomeView]


class RuleRunView(BaseModel):
    """One run of one rule."""

    run_id: int
    name: str
    action: str
    rule: dict[str, Any]
    actor: str
    photos: int
    at: datetime
    undone_at: datetime | None

    @classmethod
    def of(cls, run: RuleRun) -> RuleRunView:
        """The view of a catalog record."""
        return cls(**{name: getattr(run, name) for name in cls.model_fields})


class RuleRunPage(BaseModel):
    """Runs, the latest first. `next_cursor` is null on the last page."""

    runs: list[RuleRunView]
    next_cursor: int | None


class RuleUndone(BaseModel):
    """A run that was taken back, and how many photos were put back."""

    undone: int
    photos: int


class AnswerBody(Body):
    """An answer as it was shown: what was asked, what came, with which score and signals."""

    photo_id: PhotoId
    query_id: PhotoId | None = Field(None, description="The photo it was found by.")
    query: Text | None = Field(None, description="The text it was found by.")
    score: Finite | None = None
    signals: Signals = Field(default_factory=dict)
    space: Text | None = Field(None, description="The embedding space of the score.")


class FeedbackBody(AnswerBody):
    """A verdict on an answer."""

    kind: Literal["search", "similar", "duplicate", "person"]
    accepted: bool


class ClickBody(AnswerBody):
    """An answer that was opened."""

    position: int = Field(ge=1, le=100_000, description="Its place, from 1.")
    shown: int = Field(ge=1, le=100_000, description="How many answers were shown.")


class Noted(BaseModel):
    """What was noted, by its number."""

    id: int
