"""Request and response bodies of /v1/clusters and /v1/albums."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from photoorg.store.catalog.albums import Album
from photoorg.store.catalog.scenes import Member, StoredScene
from serve.api.models import Body, PhotoId

Name = Annotated[str, Field(min_length=1, max_length=200)]
PhotoIds = Annotated[list[PhotoId], Field(max_length=10_000)]


class SceneView(BaseModel):
    """A cluster of photos that show the same kind of thing."""

    scene_id: int
    name: str
    size: int
    cohesion: float = Field(description="Mean cosine of the photos to their middle, at most 1.")
    cover_id: PhotoId
    thumbnail: str
    space_id: str
    made_at: datetime

    @classmethod
    def of(cls, scene: StoredScene) -> SceneView:
        """The view of a catalog record."""
        values = {name: getattr(scene, name) for name in cls.model_fields if name != "thumbnail"}
        return cls(**values, thumbnail=f"/v1/photos/{scene.cover_id}/thumbnail")


class ScenePage(BaseModel):
    """Clusters, the largest first. `next_cursor` is null on the last page."""

    clusters: list[SceneView]
    next_cursor: str | None


class MemberView(BaseModel):
    """A photo of a cluster, and its place on the map (-1..1)."""

    photo_id: PhotoId
    score: float
    x: float
    y: float

    @classmethod
    def of(cls, member: Member) -> MemberView:
        """The view of a catalog record."""
        return cls(photo_id=member.photo_id, score=member.score, x=member.x, y=member.y)


class MemberPage(BaseModel):
    """Photos of a cluster. `next_cursor` is null on the last page."""

    photos: list[MemberView]
    next_cursor: str | None


class AlbumBody(Body):
    """A new album."""

    name: Name
    photo_ids: PhotoIds = Field(default_factory=list)


class AlbumPatch(Body):
    """What to change."""

    name: Name


class AcceptBody(Body):
    """A suggested album that is to stay."""

    name: Name | None = None


class PhotosBody(Body):
    """Photos to put in or take out."""

    photo_ids: Annotated[list[PhotoId], Field(min_length=1, max_length=10_000)]


class AlbumView(BaseModel):
    """An album."""

    album_id: int
    name: str
    kind: Literal["manual", "suggested"]
    reason: str | None = Field(description="Why it is suggested, in words.")
    cover_id: PhotoId | None
    created_at: datetime
    photos: int

    @classmethod
    def of(cls, album: Album) -> AlbumView:
        """The view of a catalog record."""
        return cls(**{name: getattr(album, name) for name in cls.model_fields})


class AlbumPage(BaseModel):
    """Albums, newest first. `next_cursor` is null on the last page."""

    albums: list[AlbumView]
    next_cursor: str | None


class AlbumPhotos(BaseModel):
    """Ids of an album's photos. `next_cursor` is null on the last page."""

    photo_ids: list[PhotoId]
    next_cursor: str | None
