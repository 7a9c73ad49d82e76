"""Request and response bodies of /v1/faces and /v1/people."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from photoorg.store.catalog.faces_of_people import StoredFace
from photoorg.store.catalog.people import Merge, Person
from serve.api.models import Body, PhotoId

PersonId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class FaceKeyBody(Body):
    """A face: its photo and its number there."""

    photo_id: PhotoId
    face_no: int = Field(ge=0, le=1_000_000)

    def key(self) -> tuple[str, int]:
        """The same as the library names it."""
        return self.photo_id, self.face_no


class ConsentBody(Body):
    """What a user, or the whole tenant, says about faces."""

    user: str | None = Field(
        None, min_length=1, max_length=200, description="Null: the tenant as a whole."
    )
    agreed: bool = Field(description="False deletes all faces read under this consent.")


class ConsentView(BaseModel):
    """What was said last."""

    user: str | None = Field(description="Null: the tenant as a whole.")
    agreed: bool
    changed_at: datetime
    changed_by: str


class ConsentState(BaseModel):
    """Who agreed; faces are read only where the tenant and the user did."""

    consents: list[ConsentView]
    deleted_faces: int = Field(0, description="How many faces this request deleted.")
    deleted_persons: int = 0


class ClusterBody(Body):
    """How to group faces."""

    new: bool = Field(False, description="Only place faces that have no person yet.")


class GroupingView(BaseModel):
    """What a grouping came to."""

    faces: int
    known: int
    unknown: int
    persons: int
    new_persons: int
    clusters: int
    suggestions: int
    space: str | None
    seconds: float
    stale: bool = Field(description="So many faces are new that grouping all of them pays.")


class LabelBody(Body):
    """A name for a cluster of faces."""

    person_id: PersonId
    name: Name


class FacePairBody(Body):
    """Two faces."""

    first: FaceKeyBody
    second: FaceKeyBody


class LinkBody(FacePairBody):
    """Two faces that are one person, or two."""

    same: bool


class Unlinked(BaseModel):
    """Whether anything had been said of the two."""

    removed: bool


class FacesBody(Body):
    """Some faces."""

    faces: list[FaceKeyBody] = Field(min_length=1, max_length=1000)

    def keys(self) -> list[tuple[str, int]]:
        """The same as the library names them."""
        return [face.key() for face in self.faces]


class NewPersonBody(FacesBody):
    """Faces that become a person of their own."""

    name: Name | None = None


class PersonPatch(Body):
    """What to change; what is left out stays."""

    name: str | None = Field(None, max_length=200, description="Empty takes the name away.")
    hidden: bool | None = None


class MergeBody(Body):
    """Who becomes part of the person."""

    merged_id: PersonId


class PairBody(Body):
    """Two persons who are not one."""

    first_id: PersonId
    second_id: PersonId


class PersonView(BaseModel):
    """A person, named or not."""

    person_id: int
    name: str | None
    hidden: bool
    faces: int
    photos: int
    merged_into: int | None
    cover_photo: PhotoId | None
    cover_face: int | None
    thumbnail: str | None = Field(description="Path of the cover photo's thumbnail.")
    created_at: datetime

    @classmethod
    def of(cls, person: Person) -> PersonView:
        """The view of a catalog record."""
        values = {name: getattr(person, name) for name in cls.model_fields if name != "thumbnail"}
        cover = person.cover_photo
        return cls(**values, thumbnail=f"/v1/photos/{cover}/thumbnail" if cover else None)


class PersonPage(BaseModel):
    """Persons, those with most faces first. `next_cursor` is null on the last page."""

    people: list[PersonView]
    next_cursor: str | None


class FaceView(BaseModel):
    """A face: where it is, and who. Boxes are x, y, width, height as fractions of the photo."""

    photo_id: PhotoId
    face_no: int
    box: tuple[float, float, float, float]
    quality: float
    person_id: int | None
    source: Literal["user", "cluster", "assigned"] | None
    confidence: float | None

    @classmethod
    def of(cls, face: StoredFace) -> FaceView:
        """The view of a catalog record; embeddings stay inside."""
        return cls(**{name: getattr(face, name) for name in cls.model_fields})


class FacePage(BaseModel):
    """Faces by photo. `next_cursor` is null on the last page."""

    faces: list[FaceView]
    next_cursor: str | None


class MergeView(BaseModel):
    """A merge, and whether it was taken back."""

    merge_id: int
    kept_id: int
    merged_id: int
    actor: str
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None

    @classmethod
    def of(cls, merge: Merge) -> MergeView:
        """The view of a catalog record."""
        return cls(**{name: getattr(merge, name) for name in cls.model_fields})


class MergePage(BaseModel):
    """Merges, newest first. `next_cursor` is null on the last page."""

    merges: list[MergeView]
    next_cursor: int | None


class SuggestionView(BaseModel):
    """Two persons that may be one."""

    first_id: int
    second_id: int
    similarity: float = Field(description="Cosine of their mean embeddings.")


class SuggestionPage(BaseModel):
    """Suggestions. `next_cursor` is null on the last page."""

    suggestions: list[SuggestionView]
    next_cursor: str | None


class Removed(BaseModel):
    """How many faces were taken away."""

    removed: int
