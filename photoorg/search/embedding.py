"""Queries to vectors in this process: decode, crop, encode."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from photoorg.encoders.base import Encoder, TextEncoder
from photoorg.encoders.several import SpaceEncoders
from photoorg.errors import InputError, NoTextSearchError, SpaceMismatchError
from photoorg.models import Decoded, Hashes, Rgb
from photoorg.search.ports import Box, ImageQuery, Vector
from photoorg.space import EmbeddingSpace


class ImageDecoder(Protocol):
    """The part of imaging.decode.Decoder that queries need."""

    def decode(self, data: bytes, *, short_side: int, long_side: int = 0) -> Decoded:
        """An upright sRGB image at least that large, never enlarged."""


class QueryImages:
    """Query files to pixels and hashes. Crops are decoded large enough for the encoder."""

    def __init__(self, decoder: ImageDecoder, short_side: int) -> None:
        self._decoder = decoder
        self._short_side = short_side

    def prepare(self, data: bytes, box: Box | None = None) -> tuple[Rgb, Hashes | None]:
        """Pixels to embed, and hashes if the whole image is the query; InputError, DecodeError."""
        from photoorg.imaging.hashes import hash_image

        decoded = self._decoder.decode(data, short_side=self._short_side)
        if box is None:
            return decoded.rgb, hash_image(decoded.rgb)
        check_box(box, decoded.width, decoded.height)
        needed = self._short_side * min(decoded.width, decoded.height)
        needed = int(needed / max(1.0, min(box.width, box.height)))
        if min(decoded.rgb.shape[:2]) < min(needed, decoded.width, decoded.height):
            decoded = self._decoder.decode(data, short_side=needed)
        return crop(decoded, box), None


class LocalEmbedder:
    """An Embedder around an encoder of this process; one batch is encoded at a time.

    The encoder is opened at first use: a search by photo id needs none. `others` has those of
    further spaces, for libraries that move or have moved.
    """

    def __init__(
        self,
        open_encoder: Callable[[], Encoder],
        decoder: ImageDecoder,
        *,
        threads: int = 2,
        others: SpaceEncoders | None = None,
    ) -> None:
        self._open = open_encoder
        self.others = others
        self._decoder = decoder
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="embed")
        self._opening = threading.Lock()
        self._one = asyncio.Semaphore(1)
        self._opened: Encoder | None = None

    @property
    def encoder(self) -> Encoder:
        """The encoder, opened if it is not yet; EncoderUnavailableError."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    @property
    def space(self) -> EmbeddingSpace:
        """The encoder's space."""
        return self.encoder.space

    def encoder_of(self, space: EmbeddingSpace | None) -> Encoder:
        """The encoder of a space (None: the configured one); SpaceMismatchError without others."""
        if space is None or (self.others is None and space.id == self.encoder.space.id):
            return self.encoder
        if self.others is None:
            raise SpaceMismatchError(
                f"The photos were embedded in {space.name!r}, but the encoder loaded here is "
                f"{self.encoder.space.name!r}.",
                fix="Set `encoder.space` to the library's space, or embed the library again.",
            )
        if self._opened is not None:
            self.others.keep(self._opened)
        return self.others.of(space)

    async def embed_image(
        self, data: bytes, box: Box | None = None, *, space: EmbeddingSpace | None = None
    ) -> ImageQuery:
        """Decode, crop and embed; DecodeError, InputError for a box outside the image."""
        loop = asyncio.get_running_loop()
        encoder = await loop.run_in_executor(self._threads, self.encoder_of, space)
        rgb, hashes = await loop.run_in_executor(self._threads, self.prepare, data, box, space)
        async with self._one:
            x_nd = await loop.run_in_executor(self._threads, encoder.encode_images, [rgb])
        return ImageQuery(np.asarray(x_nd[0], np.float32), hashes)

    async def embed_text(self, text: str, *, space: EmbeddingSpace | None = None) -> Vector:
        """Unit-norm [dim]; NoTextSearchError where the space has no text."""
        loop = asyncio.get_running_loop()
        encoder = text_encoder(await loop.run_in_executor(self._threads, self.encoder_of, space))
        async with self._one:
            x_nd = await loop.run_in_executor(self._threads, encoder.encode_texts, [text])
        return np.asarray(x_nd[0], np.float32)

    def prepare(
        self, data: bytes, box: Box | None = None, space: EmbeddingSpace | None = None
    ) -> tuple[Rgb, Hashes | None]:
        """Pixels to embed, and hashes if the whole image is the query; InputError, DecodeError."""
        return QueryImages(self._decoder, self.encoder_of(space).short_side).prepare(data, box)

    async def ready(self) -> str:
        """A sentence on the encoder in use; EncoderUnavailableError if it cannot be had."""
        loop = asyncio.get_running_loop()
        space = await loop.run_in_executor(self._threads, lambda: self.space)
        return f"{space.name}: {' and '.join(space.modalities)}, {space.dim} dimensions"

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def text_encoder(encoder: Encoder) -> TextEncoder:
    """The encoder as one that also takes text, or NoTextSearchError."""
    if not encoder.space.has_text or not isinstance(encoder, TextEncoder):
        raise NoTextSearchError(
            f"Space {encoder.space.name!r} has no text encoder.",
            fix="Search by image, or use a CLIP space.",
        )
    return encoder


def check_box(box: Box, width: int, height: int) -> None:
    """InputError unless the box is at least one pixel and lies inside width x height."""
    edges = np.array([box.x, box.y, box.width, box.height], dtype=np.float64)
    inside = (
        bool(np.isfinite(edges).all())
        and min(box.x, box.y) >= 0
        and min(box.width, box.height) >= 1
        and box.x + box.width <= width
        and box.y + box.height <= height
    )
    if not inside:
        raise InputError(
            f"The box x={box.x:g} y={box.y:g} width={box.width:g} height={box.height:g} is not "
            f"inside the image of {width} x {height} pixels.",
            fix="Give pixels of the upright image, at least 1 wide and high.",
        )


def crop(decoded: Decoded, box: Box) -> Rgb:
    """The box's pixels, at the scale the image was decoded to, at least one pixel."""
    height, width = decoded.rgb.shape[:2]
    sx, sy = width / decoded.width, height / decoded.height
    left, top = min(width - 1, round(box.x * sx)), min(height - 1, round(box.y * sy))
    right = max(left + 1, round((box.x + box.width) * sx))
    bottom = max(top + 1, round((box.y + box.height) * sy))
    part: Rgb = np.ascontiguousarray(decoded.rgb[top:bottom, left:right])
    return part
