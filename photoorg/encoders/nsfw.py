"""Nudity in photos through NudeNet's detector."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.curation_config import EnrichConfig
from photoorg.encoders.sessions import open_session
from photoorg.errors import EncoderUnavailableError
from photoorg.models import Rgb

SIDE = 320
MODEL = "320n.onnx"
LABELS = (
    "FEMALE_GENITALIA_COVERED",
    "FACE_FEMALE",
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_BREAST_EXPOSED",
    "ANUS_EXPOSED",
    "FEET_EXPOSED",
    "BELLY_COVERED",
    "FEET_COVERED",
    "ARMPITS_COVERED",
    "ARMPITS_EXPOSED",
    "FACE_MALE",
    "BELLY_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_COVERED",
    "FEMALE_BREAST_COVERED",
    "BUTTOCKS_COVERED",
)
"""The detector's classes in the order of its output, as the package lists them."""
EXPLICIT = (
    "BUTTOCKS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "FEMALE_GENITALIA_EXPOSED",
    "ANUS_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
)
"""What makes a photo not safe for work; bare arms, feet, bellies and men's chests do not."""
_BOX = 4
"""Values of a detection before its class scores."""
_BATCH = 16


class NudeNetScorer:
    """The surest explicit detection of NudeNet's 320 px model (YOLOv8), as a score.

    The package serves for its weights alone. Raises EncoderUnavailableError without it.
    """

    def __init__(self, config: EnrichConfig, encoder: EncoderConfig) -> None:
        self._session = open_session(_weights(), device=encoder.device, threads=encoder.threads)
        self._input = self._session.get_inputs()[0].name
        self._explicit = [_BOX + LABELS.index(name) for name in EXPLICIT]

    @property
    def short_side(self) -> int:
        """Pixels that are looked at."""
        return SIDE

    def score(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Scores 0..1 [n]: the highest class score of any explicit class at any place."""
        scores = [
            self._batch(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)
        ]
        return np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def _batch(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        pixels = np.stack([_prepared(image) for image in images])
        found = self._session.run(None, {self._input: pixels})[0]
        highest = found[:, self._explicit].max(axis=(1, 2))
        return np.asarray(np.clip(highest, 0.0, 1.0), np.float32)


def _prepared(image: Rgb) -> NDArray[np.float32]:
    """Scaled to fit, padded with black at the right and below; [3, SIDE, SIDE], 0..1.

    Channels are red, green, blue: in that order the model is surer of faces than in the order the
    package's own reader hands them over.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(np.ascontiguousarray(image)).resize(
        size, Image.Resampling.BILINEAR, reducing_gap=3.0
    )
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[: size[1], : size[0]] = np.asarray(picture, np.float32) / 255
    return np.ascontiguousarray(square.transpose(2, 0, 1))


def _weights() -> Path:
    found = importlib.util.find_spec("nudenet")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    paths = [Path(folder) / MODEL for folder in folders]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        raise EncoderUnavailableError(
            f"The stage nsfw needs nudenet's {MODEL}, which is not installed.",
            fix="Install photoorg[enrich], or take nsfw out of ingest.stages.",
        )
    return path
