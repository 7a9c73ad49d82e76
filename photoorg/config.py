"""Configuration: typed sections, one loader, no globals.

Choices live in YAML; secrets and endpoints come from `PHOTOORG_<SECTION>__<KEY>` variables, which
win over the file. `load` is called once at the entry point and the result is passed down.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError

from photoorg.curation_config import (
    DedupConfig,
    EnrichConfig,
    EventsConfig,
    MaintenanceConfig,
    MigrationConfig,
    PeopleConfig,
    ScenesConfig,
    TrainConfig,
)
from photoorg.errors import ConfigError
from photoorg.section import Fraction, Positive, Section, TenantName

PREFIX = "PHOTOORG_"
IngestStage = Literal[
    "exif", "hash", "quality", "thumbnail", "embed", "faces", "ocr", "nsfw", "tags"
]


class StorageConfig(Section):
    """Where blobs, thumbnails, vectors and indices live: a folder or s3://bucket/prefix."""

    root: str = "./photoorg-data"
    endpoint_url: str | None = None
    region: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    attempts: Positive = 5
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0


class SourceConfig(Section):
    """Credentials of the buckets photos are read from, where they differ from storage's."""

    endpoint_url: str | None = None
    region: str | None = None
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    session_token: SecretStr | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    anonymous: bool = False


class DatabaseConfig(Section):
    """PostgreSQL; without a URL one is started inside the storage folder (embedded)."""

    url: SecretStr | None = None
    embedded_dir: str | None = None
    app_role: str = Field("photoorg_app", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    pool_max: Positive = 8
    connect_timeout_s: Positive = 10
    statement_timeout_ms: Positive = 30_000


class ImagingConfig(Section):
    """Decoding limits and sizes (pixels are of the upright original).

    A video of a live photo is kept with its still up to `live_video_seconds` of length.
    """

    short_side: Positive = 448
    faces_long_side: Positive = 1280
    max_bytes: Positive = 200_000_000
    max_pixels: Positive = 200_000_000
    max_frames: Positive = 10_000
    max_seconds: float = Field(20.0, gt=0)
    live_video_seconds: float = Field(30.0, gt=0)
    guard_pixels: Positive = 64_000_000
    guard_memory_mb: Annotated[int, Field(ge=512)] = 4_096
    thumbnail_px: Positive = 400
    thumbnail_quality: Annotated[int, Field(ge=1, le=100)] = 80


class EncoderConfig(Section):
    """Which embedding space to use: "auto", a name in configs/spaces, or a path of a YAML file."""

    space: str = "auto"
    faces: str = "faces-buffalo_l"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int | None = None
    threads: int | None = None
    hub_timeout_s: float = 5.0


class IngestConfig(Section):
    """The ingest job. `workers` None means one per two cores on CPU, one per GPU otherwise.

    Fewer new files than `here_below` go through the command's own process, sooner than Ray would
    have started; never where RAY_ADDRESS names a cluster or a layout or workers are set.
    """

    stages: tuple[IngestStage, ...] = ("exif", "hash", "quality", "thumbnail", "embed")
    originals: Literal["reference", "copy"] = "reference"
    part_rows: Positive = 512
    micro_batch: Positive = 32
    layout: Literal["auto", "fused", "split"] = "auto"
    workers: int | None = None
    worker_cpus: float | None = None
    worker_gpus: float | None = None
    fetch_threads: Positive = 8
    here_below: int = Field(100, ge=0)


class IndexConfig(Section):
    """Index build. Below `flat_below` vectors a flat index is built; else `factory`.

    In `factory`, {nlist} and {pq} are filled from the number of vectors and the dimension.
    Maintenance compacts once `compact_after` changes, or `compact_share` of the vectors, wait in
    the log; a version that grew by `retrain_growth` is trained anew instead.
    """

    shards: Positive = 4
    flat_below: int = 20_000
    factory: str = "OPQ{pq},IVF{nlist},PQ{pq}x4fs"
    rescore: Literal["sq8", "fp16"] = "sq8"
    rescore_factor: Positive = 20
    train_sample: Positive = 200_000
    recall_sample: Positive = 1_000
    recall_target: Fraction = 0.95
    use_gpu: bool | Literal["auto"] = "auto"
    threads: int | None = None
    compact_after: Positive = 50_000
    compact_share: Fraction = 0.1
    retrain_growth: float = Field(2.0, gt=1.0)


class CrossConfig(Section):
    """A second look at the `top` hits: `space` names an encoder (None: no second look).

    Hits are ordered by `weight` of its opinion and the rest of their own score; without an opinion
    within `deadline_ms` they stay as they are.
    """

    space: str | None = None
    top: Positive = 40
    weight: Fraction = 0.5
    cached_pictures: Positive = 20_000
    deadline_ms: Positive = 2_000


class SearchConfig(Section):
    """Query limits, ranking and deadlines.

    `cutoff: auto` leaves out what chance would bring as near, where that was calibrated
    (`photoorg calibrate search`, or an index build).
    """

    default_k: Positive = 20
    max_k: Positive = 1_000
    candidates: Positive = 200
    mmr_lambda: Fraction = 0.85
    fold_pdq_bits: int = 31
    fold_cosine: Fraction = 0.9
    hash_weight: Fraction = 0.3
    quality_weight: Fraction = 0.02
    poor_quality: float = Field(0.35, gt=0.0, le=1.0)
    poor_weight: float = Field(2.6, ge=0.0)
    poor_words_weight: Fraction = 0.5
    fusion: Literal["rrf", "weights"] = "rrf"
    vector_weight: Fraction = 1.0
    text_weight: Fraction = 1.0
    time_weight: Fraction = 0.05
    place_weight: Fraction = 0.05
    event_weight: Fraction = 0.05
    people_weight: Fraction = 0.05
    cutoff: Literal["auto", "off"] = "auto"
    cross: CrossConfig = CrossConfig()
    deadline_ms: Positive = 2_000
    embed_deadline_ms: Positive = 15_000
    delta_poll_ms: Positive = 500
    hedge_ms: Positive = 150
    cached_photos: Positive = 50_000
    cached_neighbours: int = Field(500, ge=0)
    filter_memory_mb: Positive = 256
    cache_seconds: float = 30.0


class FacesConfig(Section):
    """Face detection is opt-in; age and gender are switched on separately."""

    enabled: bool = False
    age_gender: bool = False
    min_score: Fraction = 0.5


class ComponentConfig(Section):
    """Whether a serving component runs inside the ingress or as a deployment of its own."""

    placement: Literal["inline", "deployment"] = "inline"
    replicas: Positive = 1
    num_cpus: float = 0.1
    num_gpus: float = 0.0
    max_ongoing_requests: Positive = 32
    max_queued_requests: Positive = 256


class ServeConfig(Section):
    """HTTP serving. Without authentication the server binds to loopback only.

    The body of a request must begin to come within `body_timeout_s`, and then at 10 kB/s or more.
    Shards take up to `shard_gpu_memory_mb` of each GPU that a process is given (0: none). Indexes
    that do not lie on this machine are kept in `cache_dir`, up to `cache_disk_mb` of them.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    allow_public: bool = False
    ingress_replicas: Positive = 1
    ingress_num_cpus: float = 0.1
    ingress_ongoing: Positive = 256
    max_upload_bytes: Positive = 100_000_000
    max_uploads_at_once: Positive = 8
    url_timeout_s: float = 20.0
    body_timeout_s: float = Field(20.0, gt=0)
    allow_private_urls: bool = False
    shard_memory_mb: Positive = 4_096
    shard_gpu_memory_mb: int = Field(8_192, ge=0)
    cache_dir: str | None = None
    cache_disk_mb: Positive = 50_000
    ingestors: Positive = 1
    upload_attempts: Positive = 5
    upload_lease_s: Positive = 120
    throughput_mode: bool = True
    haproxy: bool | Literal["auto"] = "auto"
    embedder: ComponentConfig = ComponentConfig()
    shard: ComponentConfig = ComponentConfig()
    ingestor: ComponentConfig = ComponentConfig()


class PhotoOrgConfig(Section):
    """The whole configuration."""

    tenant: TenantName = "default"
    models_dir: str = "~/.cache/photoorg/models"
    storage: StorageConfig = StorageConfig()
    source: SourceConfig = SourceConfig()
    database: DatabaseConfig = DatabaseConfig()
    imaging: ImagingConfig = ImagingConfig()
    encoder: EncoderConfig = EncoderConfig()
    ingest: IngestConfig = IngestConfig()
    index: IndexConfig = IndexConfig()
    search: SearchConfig = SearchConfig()
    faces: FacesConfig = FacesConfig()
    migration: MigrationConfig = MigrationConfig()
    dedup: DedupConfig = DedupConfig()
    events: EventsConfig = EventsConfig()
    people: PeopleConfig = PeopleConfig()
    scenes: ScenesConfig = ScenesConfig()
    enrich: EnrichConfig = EnrichConfig()
    train: TrainConfig = TrainConfig()
    maintenance: MaintenanceConfig = MaintenanceConfig()
    serve: ServeConfig = ServeConfig()


def load(path: str | Path | None = None, env: Mapping[str, str] | None = None) -> PhotoOrgConfig:
    """Read the YAML file at `path` (or at PHOTOORG_CONFIG) and lay the environment over it.

    Raises ConfigError naming every wrong key by its path, with what was expected.
    """
    env = os.environ if env is None else env
    path = path or env.get(PREFIX + "CONFIG") or None
    return parse(_merge(_read(Path(path)) if path else {}, _from_env(env)))


def parse(data: Mapping[str, Any]) -> PhotoOrgConfig:
    """Check plain data; ConfigError lists every fault with its path."""
    try:
        return PhotoOrgConfig.model_validate(data)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise ConfigError(
            "The configuration is not valid:\n" + "\n".join(lines) + "\n",
            fix="Mend the keys named above; `photoorg config show` prints every key and default.",
        ) from None


def _explain(error: Any) -> str:
    where = ".".join(str(p) for p in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"  {where}: there is no such key{_meant(error['loc'])}"
    if error["type"] == "model_type":  # what stands there may hold a secret of the section
        return f"  {where}: this is a section, whose keys are set one by one"
    secret = any(word in where for word in ("key", "token", "url", "secret"))
    got = "" if secret or error["type"] == "missing" else f" (got {error['input']!r})"
    return f"  {where}: {error['msg']}{got}"


def _meant(loc: Sequence[str | int]) -> str:
    """The key beside a wrong one that looks most like it, if one does."""
    model: Any = PhotoOrgConfig
    for part in loc[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field is not None else None
    near = get_close_matches(str(loc[-1]), getattr(model, "model_fields", {}), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}.", fix="Check --config and PHOTOORG_CONFIG."
        ) from None
    except IsADirectoryError:
        raise ConfigError(
            f"{path} is a folder, not a configuration file.", fix="Name the YAML file in it."
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ConfigError(
            f"{path}{where} is not YAML: {error.problem}.", fix="configs/base.yaml is an example."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}.") from None
    if not isinstance(data, dict):
        raise ConfigError(
            f"{path} must hold a mapping of sections at its top level.",
            fix="configs/base.yaml is an example.",
        )
    return data


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for name, value in env.items():
        if not name.startswith(PREFIX) or name == PREFIX + "CONFIG":
            continue
        *parents, last = name.removeprefix(PREFIX).lower().split("__")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ConfigError(
                    f"{PREFIX}{parent.upper()} and {name} cannot both be set.",
                    fix=f"Unset {PREFIX}{parent.upper()}: a section's keys are set one by one.",
                )
        place[last] = _scalar(value)
    return data


def _scalar(text: str) -> Any:
    """Numbers and booleans as YAML reads them; anything else stays the text it is."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | list) else text


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            value = _merge(merged[key], value)
        merged[key] = value
    return merged
