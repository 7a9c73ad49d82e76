"""The ingest line: which stages a configuration asks for, in which order, over which rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from photoorg import registry
from photoorg.config import PhotoOrgConfig
from photoorg.encoders.base import Encoder, FaceEncoder, NsfwScorer, TextReader
from photoorg.encoders.crops import short_side
from photoorg.encoders.prompts import Tagger, load_prompts, open_tagger
from photoorg.encoders.several import SpaceEncoders
from photoorg.encoders.spaces import open_encoder, open_face_encoder
from photoorg.errors import PhotoOrgError
from photoorg.imaging.guard import GuardedDecoder
from photoorg.space import EmbeddingSpace
from photoorg.stages.companions import FindVideos
from photoorg.stages.decode import Decode, Fetch, KeepOriginal, ReadExif
from photoorg.stages.embed import DetectFaces, Embed
from photoorg.stages.enrich import ReadText, ScoreNsfw, ScoreNsfwByPrompts, Tag
from photoorg.stages.measure import Hash, MakeThumbnail, MeasureQuality
from photoorg.stages.parts import Made, Part, finish
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)

Stage = Callable[[pa.Table], pa.Table]
PIXELS = ("rgb", "rgb_height", "rgb_width")
PROMPTS = "prompts"
"""enrich.nsfw for phrases instead of a detector."""
BATCH_BYTES = 256_000_000
"""Files that are held in memory together, by their listed sizes; a larger one goes alone."""
MODEL_STAGES = ("embed", "faces", "ocr", "nsfw", "tags")


@dataclass(frozen=True, slots=True)
class Models:
    """The encoders an ingest needs; None where its stage is switched off.

    `further` are those of spaces that the library may move to.
    """

    encoder: Encoder | None = None
    faces: FaceEncoder | None = None
    reader: TextReader | None = None
    nsfw: NsfwScorer | Tagger | None = None
    tagger: Tagger | None = None
    further: tuple[Encoder, ...] = ()

    @property
    def space(self) -> EmbeddingSpace | None:
        """The space of the photo vectors."""
        return self.encoder.space if self.encoder is not None else None


def wanted(config: PhotoOrgConfig) -> tuple[str, ...]:
    """The optional stages to run; faces only where the tenant opted in.

    Tags are found from the vector, so the stage tags brings embed with it, and so does nsfw where
    phrases decide it.
    """
    stages = config.ingest.stages
    if config.faces.enabled and "faces" not in stages:
        stages = (*stages, "faces")
    if not config.faces.enabled:
        stages = tuple(s for s in stages if s != "faces")
    if "embed" not in stages and ("tags" in stages or _by_phrases(config, stages)):
        stages = (*stages, "embed")
    return tuple(stages)


def open_models(
    config: PhotoOrgConfig,
    *,
    encoder: Encoder | None = None,
    also: Sequence[EmbeddingSpace] = (),
) -> Models:
    """Load the encoders that the configured stages need; `encoder` is one that is open already.

    Where photos are embedded, so they are in the further spaces of `also`, but for those whose
    encoder is not to be had here (a warning).
    """
    stages = wanted(config)
    if "embed" not in stages:
        encoder = None
    elif encoder is None:
        encoder = open_encoder(config.encoder, config.models_dir)
    return Models(
        encoder=encoder,
        faces=_open_faces(config) if "faces" in stages else None,
        reader=_open(registry.TEXT_READERS, config, config.enrich.ocr, "ocr", "text reader"),
        nsfw=_open_nsfw(config, encoder),
        tagger=_open_tagger(config, encoder) if "tags" in stages else None,
        further=_open_further(config, encoder.space, also) if encoder is not None else (),
    )


def made_by(config: PhotoOrgConfig, models: Models) -> Made:
    """What the configured line of stages makes with these models."""
    stages = wanted(config)
    made = {"tags": models.tagger is not None, "nsfw": models.nsfw is not None}
    return Made(
        tuple(stage for stage in stages if made.get(stage, True)),
        models.space,
        models.faces.space.id if models.faces is not None else "",
        config.people.user if models.faces is not None else "",
        tuple(encoder.space for encoder in models.further),
    )


def _open_further(
    config: PhotoOrgConfig, own: EmbeddingSpace, also: Sequence[EmbeddingSpace]
) -> tuple[Encoder, ...]:
    encoders = SpaceEncoders(config.encoder, config.models_dir, config.migration.spaces)
    found = []
    for space in also:
        if space.id == own.id:
            continue
        try:
            found.append(encoders.of(space))
        except PhotoOrgError as error:
            log.warning("Photos are not embedded in %s as well: %s", space.name, error)
    return tuple(found)


def _open_faces(config: PhotoOrgConfig) -> FaceEncoder:
    return open_face_encoder(config.encoder, config.models_dir, faces=config.faces)


def _open(
    table: Mapping[str, str], config: PhotoOrgConfig, name: str, stage: str, what: str
) -> Any:
    if stage not in wanted(config):
        return None
    return registry.resolve(table, name, what)(config.enrich, config.encoder)


def _by_phrases(config: PhotoOrgConfig, stages: Sequence[str]) -> bool:
    return config.enrich.nsfw == PROMPTS and "nsfw" in stages


def _open_nsfw(config: PhotoOrgConfig, encoder: Encoder | None) -> NsfwScorer | Tagger | None:
    """The detector; or, for `prompts`, phrases, and nothing (a warning) without text."""
    if not _by_phrases(config, wanted(config)):
        scorer: NsfwScorer | None = _open(
            registry.NSFW_SCORERS, config, config.enrich.nsfw, "nsfw", "nsfw scorer"
        )
        return scorer
    categories = load_prompts(config.enrich.nsfw_prompts, "nsfw")
    assert encoder is not None, "phrases bring embed with them"
    if encoder.space.has_text:
        return open_tagger(encoder, categories)
    log.warning(
        "Photos get no nsfw score: the space %s has no text. Set enrich.nsfw to nudenet, or use a"
        " CLIP model.",
        encoder.space.name,
    )
    return None


def _open_tagger(config: PhotoOrgConfig, encoder: Encoder | None) -> Tagger | None:
    """None, with a warning, where the space has no text: the photos are not worse for it."""
    categories = load_prompts(config.enrich.prompts)
    assert encoder is not None, "the stage tags brings embed with it"
    if encoder.space.has_text:
        return open_tagger(encoder, categories)
    log.warning(
        "Photos get no tags: the space %s has no text. A CLIP model would have.", encoder.space.name
    )
    return None


def decode_sides(config: PhotoOrgConfig) -> tuple[int, int]:
    """Short and long side in pixels that cover every enabled stage, for an encoder of wholes."""
    stages = wanted(config)
    sides = {"faces": config.imaging.faces_long_side, "ocr": config.enrich.ocr_long_side}
    return config.imaging.short_side, max((sides.get(s, 0) for s in stages), default=0)


def views_side(config: PhotoOrgConfig, models: Models) -> int:
    """Pixels of the short side that the views of the encoders ask for."""
    least = config.imaging.short_side
    encoders = models.further if models.encoder is None else (models.encoder, *models.further)
    return max((short_side(encoder, least) for encoder in encoders), default=least)


def cpu_stages(
    config: PhotoOrgConfig, store: ObjectStore, *, keep_data: bool, least_side: int = 0
) -> list[Stage]:
    """Everything from bytes to measures: the part that needs no model.

    `keep_data` copies originals into the store before their bytes are dropped; `least_side` is
    what views_side gave.
    """
    stages, threads = wanted(config), config.ingest.fetch_threads
    short, long = decode_sides(config)
    line: list[Stage] = [
        FindVideos(
            store,
            config.tenant,
            keep=keep_data,
            threads=threads,
            max_seconds=config.imaging.live_video_seconds,
        ),
        Decode(
            GuardedDecoder(config.imaging),
            short_side=max(short, least_side),
            long_side=long,
            keep_data=keep_data,
        ),
    ]
    if keep_data:
        line.append(KeepOriginal(store, config.tenant, threads=threads))
    if "exif" in stages:
        line.append(ReadExif())
    if "hash" in stages:
        line.append(Hash())
    if "quality" in stages:
        line.append(MeasureQuality())
    if "thumbnail" in stages:
        line.append(
            MakeThumbnail(
                store,
                config.tenant,
                px=config.imaging.thumbnail_px,
                quality=config.imaging.thumbnail_quality,
                threads=threads,
            )
        )
    return line


def model_stages(config: PhotoOrgConfig, models: Models) -> list[Stage]:
    """The stages that run a model, last of them dropping the pixels."""
    line: list[Stage] = []
    if models.encoder is not None:
        line.append(Embed(models.encoder))
    line += [Embed(encoder, further=True) for encoder in models.further]
    if models.faces is not None:
        line.append(DetectFaces(models.faces, min_score=config.faces.min_score))
    if models.reader is not None:
        line.append(ReadText(models.reader))
    if isinstance(models.nsfw, Tagger):
        line.append(ScoreNsfwByPrompts(models.nsfw))
    elif models.nsfw is not None:
        line.append(ScoreNsfw(models.nsfw))
    if models.tagger is not None:
        line.append(Tag(models.tagger))
    return [*line, drop_pixels]


def drop_pixels(table: pa.Table) -> pa.Table:
    """The table without its pixel columns."""
    return table.drop_columns([c for c in PIXELS if c in table.column_names])


def run_stages(table: pa.Table, line: Iterable[Stage]) -> pa.Table:
    """The table after every stage in turn."""
    for stage in line:
        table = stage(table)
    return table


class FusedIngest:
    """The whole line in one process: a part goes through in micro-batches of bounded memory.

    While one micro-batch is worked on, the bytes of the next are fetched.
    """

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, models: Models) -> None:
        keep = config.ingest.originals == "copy"
        self._fetch = Fetch(
            config.source, max_bytes=config.imaging.max_bytes, threads=config.ingest.fetch_threads
        )
        pixels = cpu_stages(config, store, keep_data=keep, least_side=views_side(config, models))
        self._line = [*pixels, *model_stages(config, models)]
        self._made = made_by(config, models)
        self._rows = config.ingest.micro_batch
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="fetch-ahead")

    def __call__(self, keys: pa.Table) -> Part:
        """All rows of one part in, its three tables out; rows in = photos + rejects."""
        done = [run_stages(table, self._line) for table in self._fetched(keys)]
        part = finish(pa.concat_tables(done), self._made)
        assert len(part) == len(keys), "a stage lost or invented rows"
        return part

    def _fetched(self, keys: pa.Table) -> Iterator[pa.Table]:
        chunks = list(micro_batches(keys, self._rows))
        coming = self._ahead.submit(self._fetch, chunks[0])
        for following in [*chunks[1:], None]:
            fetched = coming.result()
            if following is not None:
                coming = self._ahead.submit(self._fetch, following)
            yield fetched


def micro_batches(keys: pa.Table, rows: int) -> Iterator[pa.Table]:
    """Consecutive KEYS rows, at most `rows` at a time, fewer where their files are large."""
    start = held = 0
    for row, size in enumerate(keys["size"].to_pylist()):
        if row > start and (row - start == rows or held + size > BATCH_BYTES):
            yield keys.slice(start, row - start)
            start, held = row, 0
        held += size
    yield keys.slice(start)


def stage_versions(stages: Sequence[str]) -> dict[str, str]:
    """Version of each stage's code and format; a run records the ones it used."""
    return {stage: STAGE_VERSIONS[stage] for stage in stages}


STAGE_VERSIONS = {
    "exif": "1",
    "hash": "1",
    "quality": "1",
    "thumbnail": "1",
    "embed": "1",
    "faces": "1",
    "ocr": "1",
    "nsfw": "1",
    "tags": "1",
}
