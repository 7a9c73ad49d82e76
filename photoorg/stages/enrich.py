"""Stages that say what is in a photo: its text, nudity, and tags."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.encoders.base import NsfwScorer, TextReader
from photoorg.encoders.prompts import Tagger
from photoorg.errors import NotFoundError
from photoorg.models import PhotoTag, Rejection
from photoorg.stages import rows


class ReadText:
    """Adds `ocr_text`: what is written in each photo, empty where nothing is."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with text out; the pixels stay."""
        pixels = rows.images(table)
        done, failed = rows.per_row(
            table, "ocr", rows.live(table), lambda i: self._reader.read(pixels[i])
        )
        table = rows.set_column(table, "ocr_text", rows.scatter(len(table), done), pa.string())
        return rows.mark_failed(table, failed)


class ScoreNsfw:
    """Adds `nsfw`: 0..1, null where the photo was rejected or could not be scored."""

    def __init__(self, scorer: NsfwScorer) -> None:
        self._scorer = scorer

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with scores out; the pixels stay."""
        pixels = rows.images(table)
        live = rows.live(table)
        try:
            scores = self._scorer.score([pixels[i] for i in live])
            done = dict(zip(live, map(float, scores), strict=True))
            failed: dict[int, Rejection] = {}
        except Exception:  # one bad row must not cost the batch: find it by going row by row
            done, failed = rows.per_row(
                table, "nsfw", live, lambda i: float(self._scorer.score([pixels[i]])[0])
            )
        table = rows.set_column(table, "nsfw", rows.scatter(len(table), done), pa.float32())
        return rows.mark_failed(table, failed)


class ScoreNsfwByPrompts:
    """Adds `nsfw` from the `vector` that Embed made, by phrases of what is explicit and what not.

    A photo without a vector fails here too.
    """

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with vectors in, rows with scores out."""
        whole = _Wholes(table, self._tagger)

        def score(row: int) -> float:
            return float(self._tagger.shares(whole[row])[0])

        done, failed = rows.per_row(table, "nsfw", rows.live(table), score)
        table = rows.set_column(table, "nsfw", rows.scatter(len(table), done), pa.float32())
        return rows.mark_failed(table, failed)


class Tag:
    """Adds `tags` from the `vector` that Embed made; its photos that have none fail here too."""

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with vectors in, rows with tags (maybe none) out."""
        whole = _Wholes(table, self._tagger)

        def tag(row: int) -> list[dict[str, object]]:
            return [_tag_struct(found) for found in self._tagger.tag(whole[row])[0]]

        done, failed = rows.per_row(table, "tags", rows.live(table), tag)
        table = rows.set_column(table, "tags", rows.scatter(len(table), done), schema.TAGS)
        return rows.mark_failed(table, failed)


class _Wholes:
    """Vectors [1, dim] of photos as a whole, which phrases are of; the full view comes first."""

    def __init__(self, table: pa.Table, tagger: Tagger) -> None:
        self._vectors = table["vector"]
        self._dim = tagger.space.dim

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """NotFoundError for a photo without a vector."""
        if not self._vectors[row].is_valid:
            raise NotFoundError("There is no vector to compare with phrases.")
        return np.array(self._vectors[row].as_py()[: self._dim], np.float32)[None]


def _tag_struct(tag: PhotoTag) -> dict[str, object]:
    return {name: asdict(tag)[name] for name in ("category", "label", "score")}
