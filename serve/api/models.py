"""Request and response bodies of /v1."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, StrictFloat

from photoorg.models import Hit, Photo, PhotoStatus
from photoorg.search.filters import Filter
from photoorg.search.ports import Box, Mode, SearchAnswer
from photoorg.store.catalog.companions import Companion
from photoorg.store.catalog.pairs import StoredPair
from photoorg.views import part_of

PHOTO_ID = r"^[0-9a-f]{64}$"
PhotoId = Annotated[
    str, Field(pattern=PHOTO_ID, description="SHA-256 of the file's bytes, 64 hex digits.")
]


CutoffValue = Annotated[float, Field(ge=-1, le=1)] | Literal["auto", "off"]
CUTOFF = (
    "auto leaves out what chance brings as near (the default, but for photos similar to one of the"
    " library), off leaves out nothing, a number -1..1 lower cosines."
)


class Body(BaseModel):
    """A request body; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class BoxBody(Body):
    """A crop in pixels of the upright image."""

    x: float = Field(ge=0, description="Left edge.")
    y: float = Field(ge=0, description="Top edge.")
    width: float = Field(ge=1)
    height: float = Field(ge=1)

    def box(self) -> Box:
        """The same as the library's record."""
        return Box(self.x, self.y, self.width, self.height)


class UrlUpload(Body):
    """A photo to fetch from the web."""

    url: HttpUrl = Field(description="http or https address of an image on a public host.")


class SearchBody(Body):
    """A query: `photo_id` (with or without `bbox`), `vector`, `text`, or only a `filter`."""

    photo_id: PhotoId | None = None
    bbox: BoxBody | None = Field(None, description="Part of the photo to search for.")
    vector: list[StrictFloat] | None = Field(
        None, description="A vector of the library's embedding space.", max_length=65_536
    )
    text: str | None = Field(None, max_length=2_000, description="What to look for, in words.")
    mode: Mode | None = Field(None, description="How text is searched; default hybrid.")
    filter: Filter | None = Field(None, description="Which photos may be found.")
    cursor: str | None = Field(None, max_length=65_536, description="next_cursor of a page.")
    cutoff: CutoffValue | None = Field(None, description=CUTOFF)
    top_k: int | None = Field(None, description="How many results; the default is configured.")


class PhotoAccepted(BaseModel):
    """An upload that is safe on disk. `status` tells how far it is."""

    photo_id: PhotoId = Field(description="SHA-256 of the bytes: the id of the photo or video.")
    status: PhotoStatus = Field(
        description="A live photo's video is queued until its still is there, then ready."
    )
    kind: Literal["photo", "live_video"] = "photo"
    stills: list[PhotoId] = Field([], description="The photos that a live photo's video is of.")


class Capture(BaseModel):
    """When, where and with what the photo was taken, as far as the file tells."""

    captured_at: datetime | None = None
    captured_offset_minutes: int | None = None
    captured_source: str = "none"
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    exposure_s: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_mm: float | None = None
    software: str | None = None
    orientation: int = 1


class HashesView(BaseModel):
    """Perceptual hashes in hex."""

    pdq: str
    pdq_quality: int
    phash: str
    dhash: str
    ahash: str


class QualityView(BaseModel):
    """Technical quality, each 0..1."""

    sharpness: float
    exposure: float
    contrast: float
    resolution: float
    score: float


class PairView(BaseModel):
    """Two files that belong together."""

    kind: str = Field(description="raw_jpeg, burst or live_photo.")
    first_id: PhotoId = Field(description="The RAW, the earlier frame, or the still.")
    second_id: PhotoId = Field(description="A photo, but of a live photo the video's own id.")
    confidence: float = Field(ge=0, le=1)
    evidence: list[str] = Field(description="Why, in words.")

    @classmethod
    def of(cls, pair: StoredPair) -> PairView:
        """The view of a catalog record."""
        return cls(
            **{name: getattr(pair, name) for name in ("kind", "first_id", "second_id")},
            confidence=pair.confidence,
            evidence=list(pair.evidence),
        )


class PairList(BaseModel):
    """Everything that belongs together with one photo."""

    pairs: list[PairView]


class PhotoView(BaseModel):
    """One photo and what is known about it."""

    photo_id: PhotoId
    uri: str
    mime: str
    size: int
    width: int
    height: int
    status: PhotoStatus
    reason: str | None = Field(None, description="Why the photo failed or is only partial.")
    created_at: datetime
    trashed_at: datetime | None = Field(None, description="Since when it is in the trash.")
    favourite: bool = False
    ocr_text: str | None = Field(
        None, description="What is written in it; empty: nothing, null: nobody looked."
    )
    nsfw: float | None = Field(None, description="How likely it shows nudity, 0..1.")
    exif: Capture
    hashes: HashesView | None
    quality: QualityView | None
    thumbnail: str | None = Field(description="Path of the thumbnail, null if there is none.")

    @classmethod
    def of(cls, photo: Photo) -> Self:
        """The view of a catalog record."""
        exif, hashes, quality = photo.exif, photo.hashes, photo.quality
        return cls(
            photo_id=photo.photo_id,
            uri=photo.uri,
            mime=photo.mime,
            size=photo.size,
            width=photo.width,
            height=photo.height,
            status=photo.status,
            reason=photo.reason,
            created_at=photo.created_at,
            trashed_at=photo.trashed_at,
            favourite=photo.favourite,
            ocr_text=photo.ocr_text,
            nsfw=photo.nsfw,
            exif=Capture(**{name: getattr(exif, name) for name in Capture.model_fields}),
            hashes=hashes
            and HashesView(
                pdq=hashes.pdq.hex(),
                pdq_quality=hashes.pdq_quality,
                phash=hashes.phash.hex(),
                dhash=hashes.dhash.hex(),
                ahash=hashes.ahash.hex(),
            ),
            quality=quality
            and QualityView(**{n: getattr(quality, n) for n in QualityView.model_fields}),
            thumbnail=f"/v1/photos/{photo.photo_id}/thumbnail" if photo.has_thumbnail else None,
        )


class LiveVideoView(BaseModel):
    """The moving half of a live photo."""

    video_id: PhotoId = Field(description="SHA-256 of the video's bytes.")
    mime: str
    size: int
    duration_s: float | None = Field(description="Null where the file does not say.")
    stored: bool = Field(description="Whether the library holds its bytes, or only its source.")

    @classmethod
    def of(cls, video: Companion) -> LiveVideoView:
        """The view of a catalog record."""
        return cls(
            video_id=video.companion_id,
            mime=video.mime,
            size=video.size,
            duration_s=video.duration_s,
            stored=video.stored,
        )


class PhotoDetail(PhotoView):
    """One photo with what belongs to it."""

    videos: list[LiveVideoView] = Field([], description="The videos of a live photo.")


class PhotoPage(BaseModel):
    """Photos, newest first. `next_cursor` is null on the last page."""

    photos: list[PhotoView]
    next_cursor: str | None


class ViewOfPhoto(BaseModel):
    """A part of a photo, as fractions 0..1 of its upright width and height."""

    name: str
    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, view: str) -> ViewOfPhoto:
        """The part that a view's name stands for."""
        return cls(name=view, **asdict(part_of(view)))


class Result(BaseModel):
    """One hit. Near-duplicates of it are folded under it."""

    photo_id: PhotoId
    uri: str
    score: float = Field(description="Relevance, at most 1; the order also counts diversity.")
    signals: dict[str, float] = Field(description="What made the score; absent where unknown.")
    explanations: list[str] = Field(description="Why the photo is here, in words.")
    folded: list[PhotoId] = Field(description="Near-duplicates that this photo stands for.")
    view: ViewOfPhoto | None = Field(
        None,
        description="The part that is most like the query, where photos are embedded in parts.",
    )
    thumbnail: str

    @classmethod
    def of(cls, hit: Hit) -> Result:
        """The view of a hit."""
        return cls(
            photo_id=hit.photo_id,
            uri=hit.uri,
            score=hit.score,
            signals=dict(hit.signals),
            explanations=list(hit.reasons),
            folded=list(hit.folded),
            view=ViewOfPhoto.of(hit.view) if hit.view else None,
            thumbnail=f"/v1/photos/{hit.photo_id}/thumbnail",
        )


class SearchResults(BaseModel):
    """Ranked hits. `partial` is true when a shard was lost or too slow to be counted in."""

    query: str = Field(description="What was searched for: a photo id, a text, or the kind.")
    query_photo_id: PhotoId | None = None
    top_k: int
    space: str = Field(description="The embedding space of all scores.")
    results: list[Result]
    partial: bool
    shards_answered: int
    shards_total: int
    latency_ms: float
    mode: Mode = Field(description="What was searched: vectors, words, or both.")
    notes: list[str] = Field(description="How the query was read, in words.")
    next_cursor: str | None = Field(
        description="Asks for the next page with the same query; null after the last one. It holds"
        " the whole state of the paging: nothing repeats and nothing is passed over while photos"
        " come and go."
    )

    @classmethod
    def of(
        cls, answer: SearchAnswer, query: str, top_k: int, photo_id: str | None = None
    ) -> SearchResults:
        """The view of an answer."""
        return cls(
            query=query,
            query_photo_id=photo_id,
            top_k=top_k,
            space=answer.space,
            results=[Result.of(hit) for hit in answer.hits],
            partial=answer.partial,
            shards_answered=answer.shards_answered,
            shards_total=answer.shards_total,
            latency_ms=answer.latency_ms,
            mode=answer.mode,
            notes=list(answer.notes),
            next_cursor=answer.next_cursor,
        )


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class CheckView(BaseModel):
    """One part that must work; `detail` says what is wrong and how to mend it."""

    ok: bool
    detail: str


class Ready(BaseModel):
    """Whether requests can be served, part by part."""

    status: Literal["ready", "not-ready"]
    checks: dict[str, CheckView]


class Problem(BaseModel):
    """An error (RFC 9457): what is wrong, and what to do about it."""

    type: str = Field(description="A URI that names the kind of problem.")
    title: str
    status: int
    code: str = Field(description="Stable name of the kind, for programs.")
    detail: str = Field(description="What is wrong with this request.")
    fix: str = Field(description="What to do about it; may be empty.")
    request_id: str


class BatchBody(Body):
    """Several queries that are answered together."""

    queries: list[SearchBody] = Field(min_length=1, max_length=64)


class BatchAnswer(BaseModel):
    """One query's hits, or what is wrong with that query alone."""

    results: SearchResults | None = None
    problem: Problem | None = None


class BatchResults(BaseModel):
    """Answers in the order of the queries."""

    answers: list[BatchAnswer]
