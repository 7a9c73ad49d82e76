"""Request and response bodies of tags."""

from __future__ import annotations

from pydantic import BaseModel, Field

from photoorg.models import PhotoTag
from photoorg.store.catalog.tags import LONGEST, TagSummary
from serve.api.models import Body


class TagBody(Body):
    """A tag to put on a photo."""

    label: str = Field(min_length=1, max_length=LONGEST, description="Upper case becomes lower.")
    category: str = Field(
        "", max_length=LONGEST, description="For a tag that is new; a known one keeps its own."
    )


class MappingBody(Body):
    """A tag and the category it shall belong to."""

    label: str = Field(min_length=1, max_length=LONGEST)
    category: str = Field(max_length=LONGEST, description="Empty: no category.")


class TagView(BaseModel):
    """A tag of one photo."""

    label: str
    category: str = Field(description="Empty where the tag belongs to none.")
    score: float | None = Field(description="A machine's confidence 0..1; null for a person's.")
    source: str = Field(description="user or zero-shot.")

    @classmethod
    def of(cls, tag: PhotoTag) -> TagView:
        """The view of a record."""
        return cls(label=tag.label, category=tag.category, score=tag.score, source=tag.source)


class PhotoTags(BaseModel):
    """The tags of one photo, by category."""

    tags: list[TagView]


class TagSummaryView(BaseModel):
    """A tag of the library."""

    label: str
    category: str
    made_as: str = Field(description="The category its maker gave it.")
    photos: int = Field(description="How many photos have it.")
    given: int = Field(description="On how many of them a person put it.")

    @classmethod
    def of(cls, tag: TagSummary) -> TagSummaryView:
        """The view of a catalog record."""
        return cls(**{name: getattr(tag, name) for name in cls.model_fields})


class TagPage(BaseModel):
    """Tags by label. `next_cursor` is null on the last page."""

    tags: list[TagSummaryView]
    next_cursor: str | None


class Mapped(BaseModel):
    """A tag's category before and after; map it to `before` to undo."""

    label: str
    before: str
    category: str
