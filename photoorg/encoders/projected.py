"""Another encoder's vectors through a trained projection head: a space of the library's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.config import EncoderConfig
from photoorg.encoders.base import TextEncoder
from photoorg.encoders.head import ProjectionHead
from photoorg.encoders.spaces import ProjectedSpec, open_encoder
from photoorg.encoders.weights import fingerprint, locate
from photoorg.errors import NoTextSearchError
from photoorg.models import Rgb
from photoorg.space import EmbeddingSpace


class ProjectedEncoder:
    """Texts, where the base encoder has them, go through the same head as images.

    Raises SpaceMismatchError if the head was trained over another space than `base` opens.
    """

    def __init__(self, spec: ProjectedSpec, config: EncoderConfig, models_dir: str) -> None:
        path = locate([spec.weights], models_dir, timeout_s=config.hub_timeout_s)
        self._head = ProjectionHead.from_file(path)
        self._base = open_encoder(config.model_copy(update={"space": spec.base}), models_dir)
        self._base.space.require(self._head.base, f"The projection head {path.name}")
        self._space = EmbeddingSpace(
            name=spec.name,
            encoder="projected",
            weights=fingerprint(path),
            revision="1",
            preprocessing=self._base.space.id,
            dim=self._head.dim,
            modalities=self._base.space.modalities,
            views=spec.views if "views" in spec.model_fields_set else self._base.space.views,
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The space of base and head."""
        return self._space

    @property
    def short_side(self) -> int:
        """Pixels the base encoder asks for."""
        return self._base.short_side

    def encode_images(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim] of upright sRGB images [h, w, 3] uint8 of any sizes."""
        if not len(images):
            return np.zeros((0, self._space.dim), np.float32)
        return self._head(self._base.encode_images(images))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim]; NoTextSearchError where the base has no text."""
        if not isinstance(self._base, TextEncoder) or not self._space.has_text:
            raise NoTextSearchError(
                f"{self._space.name} stands on {self._base.space.name}, which has no text encoder.",
                fix="Search by image, or train over a CLIP space.",
            )
        if not len(texts):
            return np.zeros((0, self._space.dim), np.float32)
        return self._head(self._base.encode_texts(texts))
