"""Bodies of /v1/admin/indexes and /v1/admin/spaces."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from photoorg.models import IndexStatus, IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.stages import compaction
from photoorg.store.catalog.switches import Switch
from serve.api.models import Body


class IndexView(BaseModel):
    """One version of an index in one embedding space."""

    version: str
    space_id: str
    status: IndexStatus
    vectors: int = Field(
        description="In its shards, one of each photo for every view; what changed is in the log."
    )
    shards: int
    recall_at_10: float | None = Field(description="Measured at build against exact search.")
    created_at: datetime

    @classmethod
    def of(cls, version: IndexVersion) -> Self:
        """From the library's record."""
        return cls(**{name: getattr(version, name) for name in cls.model_fields})


class CanaryView(BaseModel):
    """A space that a sticky share of the users is served from."""

    space_id: str
    share: float


class SwitchView(BaseModel):
    """A change of what serves."""

    action: Literal["cutover", "rollback"]
    from_space: str | None
    from_version: str | None
    to_space: str
    to_version: str
    actor: str
    at: datetime
    lacking: int = Field(description="Photos found before that what serves since does not hold.")

    @classmethod
    def of(cls, switch: Switch) -> Self:
        """From the library's record."""
        return cls(**{name: getattr(switch, name) for name in cls.model_fields})


class IndexPage(BaseModel):
    """Versions, newest first, and what serves."""

    indexes: list[IndexView]
    next_cursor: str | None = Field(description="Pass as `after` for the next page.")
    default_space: str | None
    canary: CanaryView | None
    last_switch: SwitchView | None


class SpaceView(BaseModel):
    """An embedding space of the library."""

    id: str
    name: str
    kind: str
    dim: int
    modalities: list[str]

    @classmethod
    def of(cls, space: EmbeddingSpace) -> Self:
        """From the library's record."""
        return cls(**{name: getattr(space, name) for name in cls.model_fields})


class SpacePage(BaseModel):
    """Spaces, oldest first."""

    spaces: list[SpaceView]
    next_cursor: str | None


class ActivateBody(Body):
    """How to switch."""

    force: bool = Field(False, description="Whatever the comparison said, or without one.")
    wait_s: float | None = Field(
        None, ge=0, le=600, description="How long the shard slots may take to load it."
    )


class RollbackBody(Body):
    """How to switch back."""

    wait_s: float | None = Field(None, ge=0, le=600)


class CanaryBody(Body):
    """0 ends the canary."""

    share: float = Field(ge=0, le=1)


class CompareBody(Body):
    """What to ask both versions."""

    queries: int = Field(200, ge=1, le=10_000, description="Photos of the library asked for.")
    golden: dict[str, str] | None = Field(
        None, description="Labels by photo id: mAP@10 is compared on them.", max_length=100_000
    )


class GateView(BaseModel):
    """One condition for a cutover."""

    name: str
    value: float
    limit: float
    passed: bool


class ComparisonView(BaseModel):
    """How a version fares against the one that serves."""

    candidate: str
    candidate_space: str
    serving: str
    serving_space: str
    k: int
    queries: int
    live_queries: int = Field(description="How many of them were sampled from live traffic.")
    overlap: float
    rank_correlation: float | None
    score_drift: float
    latency_ms: tuple[float, float] = Field(description="Medians: serving, candidate.")
    coverage: float
    maps: tuple[float, float] | None = Field(description="mAP@10 on the golden set.")
    gates: list[GateView]
    passed: bool


class CompactBody(Body):
    """How many shards the new version has; as many as before if not given."""

    shards: int | None = Field(None, ge=1, le=4096)


class Compacted(BaseModel):
    """What was folded into the version that serves now."""

    version: str
    from_version: str
    came: int
    gone: int
    vectors: int
    shards: int
    refitted: bool = Field(description="Whether the cutoffs of searches were fitted anew.")

    @classmethod
    def of(cls, done: compaction.Compacted) -> Self:
        """From the library's record."""
        return cls(**{name: getattr(done, name) for name in cls.model_fields})
