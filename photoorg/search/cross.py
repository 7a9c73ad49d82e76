"""A second look at the best hits: a slower, better judge of query and photo, taken together.

Off unless `search.cross` names one. `SecondSpace` asks another encoder than the library's: it
compares the query with the thumbnails of the hits, whatever space the library was embedded in.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.encoders.base import Encoder, TextEncoder
from photoorg.errors import PhotoOrgError
from photoorg.models import Hit, Rgb
from photoorg.search.embedding import ImageDecoder, QueryImages
from photoorg.search.ports import Box
from photoorg.store.layout import thumb_path
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CrossQuery:
    """What was asked for: a `text`, a picture's bytes with an optional box, or a library photo."""

    text: str | None = None
    data: bytes | None = None
    box: Box | None = None
    photo_id: str | None = None


class CrossEncoder(Protocol):
    """Judges how well photos answer a query."""

    async def scores(self, tenant: str, query: CrossQuery, photo_ids: Sequence[str]) -> Floats:
        """One score a photo [n], higher is better; NaN where it cannot tell."""

    def close(self) -> None:
        """Let its threads end."""


class CrossRanker:
    """Orders the first `top` hits anew by a judge's opinion and their own score.

    The judge has `seconds` for it.
    """

    def __init__(
        self, judge: CrossEncoder, *, top: int, weight: float, seconds: float = 2.0
    ) -> None:
        self._judge = judge
        self._weight = weight
        self._seconds = seconds
        self.top = top

    async def order(self, tenant: str, hits: Sequence[Hit], query: CrossQuery) -> tuple[Hit, ...]:
        """The same hits; a judge that fails or takes too long leaves them as they were.

        Both scores are taken in standard deviations of these hits, for a judge has a scale of its
        own. `Hit.score` stays what it was, `signals["cross"]` is what the judge said.
        """
        first, rest = list(hits[: self.top]), tuple(hits[self.top :])
        if len(first) < 2:
            return tuple(hits)
        try:
            async with asyncio.timeout(self._seconds):
                said = await self._judge.scores(tenant, query, [h.photo_id for h in first])
        except TimeoutError:
            log.warning("no second look at the hits: none within %g s", self._seconds)
            return tuple(hits)
        except Exception as error:  # whatever an encoder raises, the hits are an answer without it
            log.warning("no second look at the hits: %s", error)
            return tuple(hits)
        known = np.isfinite(said)
        if not known.any():
            return tuple(hits)
        told = np.where(known, said, np.mean(said[known]))
        own = np.array([h.score for h in first], np.float64)
        worth = self._weight * _standard(told) + (1 - self._weight) * _standard(own)
        order = np.argsort(-worth, kind="stable").tolist()
        judged = [
            replace(h, signals={**h.signals, "cross": round(float(s), 6)}) if np.isfinite(s) else h
            for h, s in zip(first, said, strict=True)
        ]
        return (*(judged[i] for i in order), *rest)

    def close(self) -> None:
        """Let the judge's threads end."""
        self._judge.close()


class SecondSpace:
    """Cosines in the space of another encoder, between the query and the hits' thumbnails.

    The encoder is opened at first use; vectors of the last `kept` thumbnails are remembered, and
    one batch is encoded at a time. A text asks for an encoder with text.
    """

    def __init__(
        self,
        open_encoder: Callable[[], Encoder],
        store: ObjectStore,
        decoder: ImageDecoder,
        *,
        kept: int = 20_000,
    ) -> None:
        self._open = open_encoder
        self._store = store
        self._decoder = decoder
        self._kept = kept
        self._encoder: Encoder | None = None
        self._known: OrderedDict[tuple[str, str], Vector] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cross")

    async def scores(self, tenant: str, query: CrossQuery, photo_ids: Sequence[str]) -> Floats:
        """Cosines [n]; NaN for photos without a thumbnail, and all NaN for texts it cannot read."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._scores, tenant, query, photo_ids)

    def close(self) -> None:
        """Let its thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _scores(self, tenant: str, query: CrossQuery, photo_ids: Sequence[str]) -> Floats:
        if self._encoder is None:
            self._encoder = self._open()
        encoder = self._encoder
        x_d = self._query(encoder, tenant, query)
        if x_d is None:
            return np.full(len(photo_ids), np.nan)
        self._look(encoder, tenant, photo_ids)
        vectors = [self._known.get((tenant, i)) for i in photo_ids]
        found = np.array([np.nan if v is None else float(v @ x_d) for v in vectors], np.float64)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return found

    def _query(self, encoder: Encoder, tenant: str, query: CrossQuery) -> Vector | None:
        if query.text is not None:
            if not encoder.space.has_text or not isinstance(encoder, TextEncoder):
                return None
            return np.asarray(encoder.encode_texts([query.text])[0], np.float32)
        if query.photo_id is not None:
            self._look(encoder, tenant, [query.photo_id])
            return self._known.get((tenant, query.photo_id))
        if query.data is None:
            return None
        rgb, _ = QueryImages(self._decoder, encoder.short_side).prepare(query.data, query.box)
        return np.asarray(encoder.encode_images([rgb])[0], np.float32)

    def _look(self, encoder: Encoder, tenant: str, photo_ids: Sequence[str]) -> None:
        """Embed the thumbnails that are not known yet."""
        new = {i: rgb for i in photo_ids if (tenant, i) not in self._known
               and (rgb := self._thumbnail(tenant, i)) is not None}  # fmt: skip
        if new:
            x_nd = np.asarray(encoder.encode_images(list(new.values())), np.float32)
            self._known |= {(tenant, i): x_d for i, x_d in zip(new, x_nd, strict=True)}

    def _thumbnail(self, tenant: str, photo_id: str) -> Rgb | None:
        try:
            data = self._store.read(thumb_path(tenant, photo_id))
            with Image.open(io.BytesIO(data)) as image:
                return np.asarray(image.convert("RGB"))
        except (PhotoOrgError, OSError, ValueError) as error:
            log.debug("no thumbnail of %s: %s", photo_id, error)
            return None


def _standard(values: Floats) -> Floats:
    spread = float(np.std(values))
    return np.zeros(len(values)) if spread < 1e-9 else (values - np.mean(values)) / spread
