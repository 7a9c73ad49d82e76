"""Text in photos through RapidOCR: a quick look for strokes, a detector of lines, a recogniser."""

from __future__ import annotations

from typing import Any

import numpy as np

from photoorg.config import EncoderConfig
from photoorg.curation_config import EnrichConfig
from photoorg.encoders.sessions import providers
from photoorg.errors import EncoderUnavailableError
from photoorg.models import Rgb

LOOK_SIDE = 960
"""Pixels of the long side at which strokes are counted."""
STROKE = 7
"""Widest stroke in pixels of LOOK_SIDE; what is broader is a surface."""
CONTRAST = 35
"""Least difference in grey levels between a stroke and what is around it."""
WINDOW = (24, 8)
"""Width and height in pixels of LOOK_SIDE of the place that must be full of strokes."""
SMALLEST = 16
"""A photo with a shorter side holds no readable line."""


class RapidOcrReader:
    """RapidOCR (PP-OCR detector and recogniser, DBNet and SVTR) behind a stroke filter.

    A photo whose densest place has fewer strokes than `ocr_strokes` is not looked over. The
    detector sees the others at `ocr_detector_side`, the recogniser reads the lines it found from
    the whole picture: no line, nothing to read. Raises EncoderUnavailableError without rapidocr.
    """

    def __init__(self, config: EnrichConfig, encoder: EncoderConfig) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as error:
            raise EncoderUnavailableError(
                f"The stage ocr needs rapidocr, which cannot be imported: {error}.",
                fix="Install photoorg[enrich], or take ocr out of ingest.stages.",
            ) from error
        self._strokes = config.ocr_strokes
        self._long_side = config.ocr_long_side
        self._engine = RapidOCR(params=_parameters(config, encoder))

    @property
    def long_side(self) -> int:
        """Pixels at which letters are read."""
        return self._long_side

    def read(self, image: Rgb) -> str:
        """Lines of text from top to bottom, one a line; empty if there are none."""
        if min(image.shape[:2]) < SMALLEST or not self.looks_written(image):
            return ""
        found = self._engine(np.ascontiguousarray(image[:, :, ::-1]))
        return "\n".join(_lines(getattr(found, "txts", None)))

    def looks_written(self, image: Rgb) -> bool:
        """Whether the photo has a place dense enough in strokes to be looked over."""
        return self._strokes <= 0 or stroke_density(image) >= self._strokes


def stroke_density(image: Rgb) -> float:
    """How full of letter-like strokes the densest small place of a photo is, 0..1.

    A stroke is thin (top-hat and black-hat transform) and has a rising and a falling edge beside
    each other, as edges of surfaces have not (the idea of Epshtein et al., Stroke Width Transform,
    2010, without the widths).
    """
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = LOOK_SIDE / max(grey.shape)
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    kernel = np.ones((STROKE, STROKE), np.uint8)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    light = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    slope = cv2.Sobel(grey, cv2.CV_16S, 1, 0, ksize=3)
    thin = _density(cv2.max(dark, light) > CONTRAST)
    paired = cv2.min(_density(slope > 2 * CONTRAST), _density(slope < -2 * CONTRAST))
    return float((paired * np.sqrt(thin)).max())


def _density(mask: Any) -> Any:
    import cv2

    return cv2.blur(mask.astype(np.float32), WINDOW)


def _parameters(config: EnrichConfig, encoder: EncoderConfig) -> dict[str, Any]:
    """Photos are upright, so lines are not asked whether they stand on their head."""
    return {
        "Global.log_level": "critical",
        "Global.text_score": config.ocr_min_score,
        "Global.use_cls": False,
        "Det.limit_type": "max",
        "Det.limit_side_len": config.ocr_detector_side,
        "EngineConfig.onnxruntime.intra_op_num_threads": encoder.threads or -1,
        "EngineConfig.onnxruntime.use_cuda": providers(encoder.device)[0].startswith("CUDA"),
    }


def _lines(texts: Any) -> list[str]:
    return [text.strip() for text in texts or () if text.strip()]
