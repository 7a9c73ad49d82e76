"""Configuration of what is done with a library that is there: migration, training, curation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from photoorg.section import Fraction, Positive, Section


class GatesConfig(Section):
    """What a shadow index must reach in a comparison before it may serve.

    `overlap` is the mean share of the k best photos that both indices name, `latency_ratio` the
    shadow's median time over the other's, `coverage` the share of photos it holds, and `map_drop`
    what mean average precision may lose on a golden set, where one is given.
    """

    min_overlap: Fraction = 0.1
    min_rank_correlation: float = Field(-1.0, ge=-1.0, le=1.0)
    max_score_drift: float = Field(2.0, ge=0.0, le=2.0)
    max_latency_ratio: float = Field(3.0, gt=0.0)
    min_coverage: Fraction = 0.99
    max_map_drop: Fraction = 0.02
    min_queries: Positive = 20


class MigrationConfig(Section):
    """Moving to another index version or embedding space.

    `spaces` are space files (names or paths) beside encoder.space that queries and uploads are
    embedded with where a library is in them. `sample` is the share of live queries that are also
    put to a shadow index; after a cutover the old version is kept for `keep_days`.
    """

    spaces: tuple[str, ...] = ()
    sample: Fraction = 0.02
    gates: GatesConfig = GatesConfig()
    require_gates: bool = True
    keep_days: float = Field(7.0, ge=0.0)
    abandoned_hours: float = Field(24.0, gt=0.0)
    report_age_s: float = Field(15.0, gt=0.0)
    preload_timeout_s: float = Field(300.0, gt=0.0)


class TrainConfig(Section):
    """Training a projection head; `dim` None keeps the base space's dimension."""

    photos: Positive = 5_000
    epochs: Positive = 30
    batch: Annotated[int, Field(ge=8)] = 256
    hidden: Positive = 512
    dim: int | None = Field(None, ge=8)
    temperature: float = Field(0.1, gt=0)
    rate: float = Field(1e-3, gt=0)
    decay: float = Field(1e-2, ge=0)
    seed: int = 0


KeeperRule = Literal[
    "favourite", "album", "original", "resolution", "format", "quality", "size", "oldest"
]


class DedupConfig(Section):
    """Duplicates: what is compared, from which confidence on they are suggested, what is kept.

    Pairs from `floor` on are stored, so that the effect of any `confidence` above can be previewed.
    `neighbours` nearest photos by embedding (0: hashes only) that are nearer than strangers by
    `least_cosine` are compared too, turned hashes in libraries of up to `turned_up_to` photos.
    Photos that show parts of others are found by local features, among the newest `parts_up_to`.
    Up to `turned_views` photos without partners or features are turned, encoded and looked for.
    At most `looks` unsure pairs are laid over each other. `keeper` are rules in order.
    """

    confidence: Fraction = 0.8
    floor: Fraction = 0.3
    pdq_bits: Annotated[int, Field(ge=0, le=63)] = 31
    phash_bits: Annotated[int, Field(ge=0, le=12)] = 8
    per_photo: Positive = 256
    neighbours: Annotated[int, Field(ge=0, le=100)] = 12
    least_cosine: Fraction = 0.2
    turned_up_to: Annotated[int, Field(ge=0)] = 200_000
    parts_up_to: Annotated[int, Field(ge=0)] = 20_000
    turned_views: Annotated[int, Field(ge=0)] = 2_000
    looks: Annotated[int, Field(ge=0)] = 50_000
    burst_seconds: float = Field(3.0, ge=0)
    keeper: tuple[KeeperRule, ...] = (
        "favourite",
        "album",
        "original",
        "resolution",
        "format",
        "quality",
        "size",
        "oldest",
    )
    weights: Annotated[tuple[float, ...], Field(min_length=12, max_length=12)] | None = None


class EventsConfig(Section):
    """Event detection: pauses that part events, and what counts as home."""

    min_gap_minutes: float = Field(40.0, gt=0)
    usual_gap_hours: float = Field(2.0, gt=0)
    max_gap_hours: float = Field(8.0, gt=0)
    home_radius_km: float = Field(30.0, gt=0)
    visual_up_to: int = Field(200_000, ge=0)


class PeopleConfig(Section):
    """Grouping of faces into persons; `user` is whose consent covers the photos read here.

    `automatic` places new faces after an ingest, an upload and in maintenance.

    The cosines follow published practice for ArcFace-style embeddings, whose strangers centre on 0:
    verification thresholds lie at 0.3 to 0.4, photo managers group faces at 0.5. `same_face` and
    `related` compare faces, `same_person` and `maybe_person` means of clusters. A face that is less
    than `least_cosine` like the mean of its cluster is left to people; feedback can raise that.
    """

    user: str = Field("owner", pattern=r"^[^\s\x00-\x1f]{1,200}$")
    automatic: bool = True
    min_quality: Fraction = 0.35
    min_cluster_size: Annotated[int, Field(ge=2)] = 3
    min_samples: Positive = 2
    min_faces: Annotated[int, Field(ge=2)] = 2
    related: Fraction = 0.35
    same_face: Fraction = 0.5
    same_person: Fraction = 0.6
    maybe_person: Fraction = 0.45
    least_cosine: Fraction = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"


class ScenesConfig(Section):
    """Grouping of photos into scenes; `clusters` is k, or auto."""

    method: Literal["hdbscan", "kmeans", "agglomerative"] = "hdbscan"
    linkage: Literal["complete", "average", "single", "ward"] = "average"
    clusters: Positive | Literal["auto"] = "auto"
    min_cluster_size: Annotated[int, Field(ge=2)] = 5
    min_samples: Positive = 3
    album_photos: Annotated[int, Field(ge=2)] = 8
    device: Literal["auto", "cpu", "cuda"] = "auto"


class MaintenanceConfig(Section):
    """Regular upkeep; photos are deleted for ever `trash_days` after they went into the trash.

    The bytes of a live photo's video whose still never came are let go `waiting_video_days` after
    it was last seen. Files in the store that no row knows, left by a crash, are removed
    `orphan_hours` after they were written; with `remove_orphans: false` they are only counted, and
    they are left alone where they are more than `orphan_share` of all files.
    """

    trash_days: float = Field(30.0, ge=0.0)
    waiting_video_days: float = Field(30.0, ge=0.0)
    orphan_hours: float = Field(24.0, ge=0.0)
    orphan_share: Fraction = 0.05
    remove_orphans: bool = True


class EnrichConfig(Section):
    """What the stages ocr, nsfw and tags work with.

    `ocr_long_side` is how large a photo is decoded for the recogniser, `ocr_detector_side` how
    large it is looked over for lines of text, both pixels of the long side. `ocr_strokes` is the
    density of letter-like strokes below which a photo is not looked over at all; 0 looks at every
    photo. A line counts from `ocr_min_score` on. `prompts` is the folder of categories for tags:
    "default" is configs/prompts. `nsfw` is a detector, or `prompts`: phrases in the folder
    `nsfw_prompts` ("default" is configs/nsfw), compared with the photo's vector where the space has
    text.
    """

    ocr: str = "rapidocr"
    ocr_long_side: Positive = 1280
    ocr_detector_side: Annotated[int, Field(ge=32)] = 960
    ocr_strokes: Fraction = 0.15
    ocr_min_score: Fraction = 0.5
    nsfw: str = "nudenet"
    nsfw_prompts: str = "default"
    prompts: str = "default"
