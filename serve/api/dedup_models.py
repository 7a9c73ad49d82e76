"""Request and response bodies of /v1/dedup."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from photoorg.curate.sweep import Effect
from photoorg.store.catalog.duplicates import Member, StoredGroup
from photoorg.store.catalog.resolutions import Resolution, Undone
from serve.api.models import Body, PhotoId

Kind = Literal["exact", "copy", "edit", "burst"]
Status = Literal["open", "merged", "ignored", "stacked"]


class MemberView(BaseModel):
    """A photo of a group, with what tells it from the one to keep."""

    photo_id: PhotoId
    kind: Kind
    confidence: float = Field(description="How sure it is the same picture as the keeper, 0..1.")
    evidence: list[str] = Field(description="What was found, in words.")
    uri: str
    size: int = Field(description="Bytes.")
    width: int
    height: int
    mime: str
    quality: float | None
    captured_at: datetime | None
    trashed: bool
    thumbnail: str | None

    @classmethod
    def of(cls, member: Member) -> MemberView:
        """The view of a stored member."""
        names = set(cls.model_fields) - {"evidence", "thumbnail"}
        thumbnail = f"/v1/photos/{member.photo_id}/thumbnail" if member.has_thumbnail else None
        return cls(
            evidence=list(member.evidence),
            thumbnail=thumbnail,
            **{name: getattr(member, name) for name in names},
        )


class GroupView(BaseModel):
    """Photos that are the same picture, each within the threshold of the one to keep."""

    duplicateset_id: int
    kind: Kind
    confidence: float = Field(description="Of the least sure member, 0..1.")
    keep_photo_id: PhotoId = Field(description="The suggested keeper, or the one that was kept.")
    reason: str = Field(description="Why that one, in words.")
    bytes_reclaimable: int
    status: Status
    found_at: datetime
    members: list[MemberView]

    @classmethod
    def of(cls, group: StoredGroup) -> GroupView:
        """The view of a stored group."""
        return cls(
            duplicateset_id=group.group_id,
            kind=group.kind,
            confidence=group.confidence,
            keep_photo_id=group.keeper_id,
            reason=group.reason,
            bytes_reclaimable=group.reclaimable,
            status=group.status,
            found_at=group.found_at,
            members=[MemberView.of(m) for m in group.members],
        )


class Suggestions(BaseModel):
    """Groups, the surest first. `next_cursor` is null on the last page."""

    suggestions: list[GroupView]
    next_cursor: str | None


class ResolveBody(Body):
    """What to do with a group."""

    duplicateset_id: int
    action: Literal["merge", "ignore", "stack"] = Field(
        description="merge: keep one, trash the others. ignore: keep all. stack: keep all as one."
    )
    keep_photo_id: PhotoId | None = Field(None, description="Which to keep; else the suggested.")
    not_duplicates: bool = Field(
        False, description="With ignore: no two of them are ever put into one group again."
    )


class Resolved(BaseModel):
    """What was done; `undo_token` takes it back."""

    status: Literal["ok"] = "ok"
    kept: PhotoId | None
    removed: list[PhotoId]
    undo_token: str

    @classmethod
    def of(cls, done: Resolution) -> Resolved:
        """The view of a resolution."""
        return cls(kept=done.kept, removed=list(done.removed), undo_token=done.undo_token)


class UndoBody(Body):
    """Which resolution to take back."""

    undo_token: str = Field(min_length=1, max_length=200)


class UndoneView(BaseModel):
    """What came back; the group is open again."""

    status: Literal["ok"] = "ok"
    duplicateset_id: int
    restored: list[PhotoId]

    @classmethod
    def of(cls, done: Undone) -> UndoneView:
        """The view of an undo."""
        return cls(duplicateset_id=done.group_id, restored=list(done.restored))


class EffectView(BaseModel):
    """What a threshold would suggest."""

    confidence: float
    groups: int
    photos: int = Field(description="Photos beside the keepers.")
    bytes: int = Field(description="Their bytes.")


class PreviewView(BaseModel):
    """The effect of thresholds on what the last scan found; nothing was written."""

    thresholds: list[EffectView]
    in_force: float = Field(description="The threshold of the next scan, calibrated or configured.")

    @classmethod
    def of(cls, effects: list[Effect], in_force: float) -> PreviewView:
        """The view of effects."""
        names = EffectView.model_fields
        views = [EffectView(**{n: getattr(e, n) for n in names}) for e in effects]
        return cls(thresholds=views, in_force=in_force)


class StatusCount(BaseModel):
    """Groups of one status, photos beside their keepers, and the bytes of those."""

    groups: int
    photos: int
    bytes: int


class DedupStats(BaseModel):
    """Where the clean-up stands."""

    groups: dict[Status, StatusCount]
    open_by_kind: dict[Kind, int]
    photos_in_several_files: int
    files_beyond_the_first: int
    decisions: int
