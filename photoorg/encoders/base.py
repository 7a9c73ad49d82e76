"""What every encoder offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from photoorg.models import Face, Rgb
from photoorg.space import EmbeddingSpace


@runtime_checkable
class Encoder(Protocol):
    """Images to vectors. An encoder that fails to load raises EncoderUnavailableError."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space its vectors live in."""

    @property
    def short_side(self) -> int:
        """Pixels the short side of an image should have at least, so that nothing is lost."""

    def encode_images(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim] of upright sRGB images of any sizes; [0, dim] for none."""


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """An encoder whose space also holds text."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim]; texts longer than the model takes are truncated."""


@runtime_checkable
class FaceEncoder(Protocol):
    """Detector and recogniser in one."""

    @property
    def space(self) -> EmbeddingSpace:
        """The face space (kind "face")."""

    @property
    def long_side(self) -> int:
        """Pixels the long side of an image should have for the detector."""

    def detect(self, image: Rgb) -> list[Face]:
        """Faces of one upright photo, largest first; empty if there are none."""


@runtime_checkable
class TextReader(Protocol):
    """Finds and reads what is written in a photo."""

    @property
    def long_side(self) -> int:
        """Pixels the long side of an image should have, so that small letters can be read."""

    def read(self, image: Rgb) -> str:
        """The lines of text of one upright photo from top to bottom; empty if there are none."""


@runtime_checkable
class NsfwScorer(Protocol):
    """Says how likely a photo shows nudity."""

    @property
    def short_side(self) -> int:
        """Pixels the short side of an image should have at least."""

    def score(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """One score 0..1 per upright photo [n]; 1 is surely explicit."""
