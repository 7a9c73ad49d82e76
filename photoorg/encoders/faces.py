"""Faces through InsightFace models: SCRFD finds them, an ArcFace-style network embeds them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import EncoderConfig, FacesConfig
from photoorg.encoders.sessions import import_runtime, options, providers, require_provider
from photoorg.encoders.spaces import InsightFaceSpec
from photoorg.encoders.vectors import unit_norm
from photoorg.encoders.weights import find, fingerprint, folder_of, locate, unpack
from photoorg.errors import EncoderUnavailableError
from photoorg.models import Face, Rgb
from photoorg.space import EmbeddingSpace

log = logging.getLogger(__name__)

VERSION = 1
_BATCH = 32
_LONGEST_RATIO = 16
"""Strips are filled up to this ratio, or the detector would scale them to nothing."""
_PADDING = 0.5
_TIGHT = 0.4
"""A face whose box covers more than this part of the picture makes it a tight crop."""
_TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where eyes, nose and mouth corners lie in an aligned 112 px face (Deng et al., ArcFace, 2019)."""

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Found:
    """A detection in pixels of the image: box corners, score and five points."""

    box: NDArray[np.float64]
    score: float
    points: Points


class InsightFaceEncoder:
    """Detector and recogniser of an InsightFace pack, or given as two ONNX files.

    Tight crops are padded and tried again at the smallest detector size, since the detector
    expects some surroundings. Age and
    gender are read only where `faces.age_gender` is on and the pack has the model. Raises
    EncoderUnavailableError if packages or model files are missing.
    """

    def __init__(
        self,
        spec: InsightFaceSpec,
        config: EncoderConfig,
        models_dir: str,
        *,
        faces: FacesConfig,
    ) -> None:
        zoo = _import_zoo()
        keep = {"detection", "recognition"} | ({"genderage"} if faces.age_gender else set())
        paths = _model_paths(spec, models_dir, config.hub_timeout_s)
        models = _open_models(zoo, paths, keep, config)
        absent = [task for task in ("detection", "recognition") if task not in models]
        if absent:
            names = ", ".join(path.name for path in paths)
            raise EncoderUnavailableError(
                f"None of {names} is a model for {' and '.join(absent)} (space {spec.name})."
            )
        self._detector, detector_path = models["detection"]
        self._recognizer, recognizer_path = models["recognition"]
        self._age_gender = models["genderage"][0] if "genderage" in models else None
        sizes = [(size, size) for size in spec.detector_sizes]
        self._detector.prepare(0, input_size=sizes, det_thresh=faces.min_score)
        self._close_up = min(sizes)
        self._long_side = spec.long_side
        self._crop_px = int(self._recognizer.input_size[0])
        fixed = self._recognizer.input_shape[0]
        self._fixed_batch = fixed if isinstance(fixed, int) else None
        detector = fingerprint(detector_path)
        self._space = EmbeddingSpace(
            name=spec.name,
            encoder="insightface",
            weights=fingerprint(recognizer_path),
            revision="1",
            preprocessing=f"v{VERSION} {detector} {spec.detector_sizes} aligned {self._crop_px}",
            dim=int(self._embed([np.zeros((self._crop_px, self._crop_px, 3), np.uint8)]).shape[1]),
            kind="face",
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The face space of this recogniser behind this detector."""
        return self._space

    @property
    def long_side(self) -> int:
        """Pixels the long side of an image should have, for small faces in groups."""
        return self._long_side

    def detect(self, image: Rgb) -> list[Face]:
        """Faces of an upright sRGB photo [h, w, 3] uint8, largest first; empty if none."""
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        found = self._find(bgr)
        if not found:
            return []
        crops = [align(bgr, face.points, self._crop_px) for face in found]
        vectors = unit_norm(self._embed(crops), self._space.dim, self._space.name)
        faces = [
            self._face(bgr, face, crop, vector)
            for face, crop, vector in zip(found, crops, vectors, strict=True)
        ]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])

    def _find(self, bgr: NDArray[np.uint8]) -> list[_Found]:
        height, width = bgr.shape[:2]
        found = self._detect(bgr)
        tight = any(_area(face.box) > _TIGHT * height * width for face in found)
        if found and not tight:
            return found
        pad_y, pad_x = round(height * _PADDING), round(width * _PADDING)
        padded = np.pad(bgr, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)))
        offset = np.array([pad_x, pad_y], np.float64)
        again = [
            _Found(face.box - np.tile(offset, 2), face.score, face.points - offset)
            for face in self._detect(padded, self._close_up)
        ]
        best = max((face.score for face in found), default=0.0)
        return again if max((face.score for face in again), default=0.0) > best else found

    def _detect(
        self, bgr: NDArray[np.uint8], input_size: tuple[int, int] | None = None
    ) -> list[_Found]:
        height, width = bgr.shape[:2]
        least = -(-max(height, width) // _LONGEST_RATIO)
        missing = (0, max(0, least - height)), (0, max(0, least - width)), (0, 0)
        boxes, points = self._detector.detect(np.pad(bgr, missing), input_size=input_size)
        return [
            _Found(box[:4].astype(np.float64), float(box[4]), five.astype(np.float64))
            for box, five in zip(boxes, points, strict=True)
        ]

    def _embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        size = self._fixed_batch or _BATCH
        parts = []
        for start in range(0, len(crops), size):
            part = list(crops[start : start + size])
            padding = [part[-1]] * ((self._fixed_batch or len(part)) - len(part))
            parts.append(np.asarray(self._recognizer.get_feat(part + padding))[: len(part)])
        return np.concatenate(parts)

    def _face(
        self, bgr: NDArray[np.uint8], face: _Found, crop: NDArray[np.uint8], vector: Any
    ) -> Face:
        height, width = bgr.shape[:2]
        size = np.array([width, height], np.float64)
        corners = np.clip(face.box.reshape(2, 2) / size, 0.0, 1.0)
        points = np.clip(face.points / size, 0.0, 1.0)
        age, gender = self._age_and_gender(bgr, face)
        (x, y), (w, h) = corners[0], corners[1] - corners[0]
        return Face(
            box=(float(x), float(y), float(w), float(h)),
            landmarks=tuple((float(px), float(py)) for px, py in points),
            score=min(1.0, face.score),
            quality=quality(face.box, face.points, face.score, crop),
            embedding=vector,
            age=age,
            gender=gender,
        )

    def _age_and_gender(
        self, bgr: NDArray[np.uint8], face: _Found
    ) -> tuple[float | None, str | None]:
        if self._age_gender is None:
            return None, None
        from insightface.app.common import Face as Found

        gender, age = self._age_gender.get(bgr, Found(bbox=face.box, det_score=face.score))
        return float(age), "male" if gender == 1 else "female"


def align(image: NDArray[np.uint8], points: Points, size: int) -> NDArray[np.uint8]:
    """The face cut out upright, `size` x `size`, by the similarity that best fits five points.

    Least squares after Umeyama (1991); parts outside the image are black.
    """
    import cv2

    ratio, shift = (size / 112, 0.0) if size % 112 == 0 else (size / 128, 8.0 * size / 128)
    target = _TEMPLATE * ratio + np.array([shift, 0.0])
    crop = cv2.warpAffine(image, _similarity(points, target), (size, size))
    return np.asarray(crop, np.uint8)


def quality(
    box: NDArray[np.float64], points: Points, score: float, crop: NDArray[np.uint8]
) -> float:
    """How fit a face is for recognition, 0..1: geometric mean of size, score, pose, sharpness.

    Size is full at 112 px (what the recogniser takes in), pose falls to 0 in profile, sharpness is
    the standard deviation of the aligned crop's Laplacian, full at 20 grey levels.
    """
    width, height = box[2] - box[0], box[3] - box[1]
    grey = crop.astype(np.float32).mean(axis=2)
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    parts = (
        min(1.0, min(width, height) / 112.0),
        min(1.0, score),
        frontalness(points),
        min(1.0, float((around - 4.0 * inner).std()) / 20.0),
    )
    return float(max(0.0, np.prod(parts)) ** (1 / len(parts)))


def frontalness(points: Points) -> float:
    """1 for a face seen from the front, 0 in profile: where the nose falls between the eyes.

    In the direction of the line through the eyes, so that a tilted head costs nothing.
    """
    left, right, nose = points[0], points[1], points[2]
    across = right - left
    length = float(across @ across)
    if length < 1e-9:
        return 0.0
    place = float((nose - left) @ across) / length
    return float(np.clip(1.0 - 2.0 * abs(place - 0.5), 0.0, 1.0))


def _similarity(source: Points, target: Points) -> Points:
    """The 2x3 matrix of rotation, scale and shift that takes source to target."""
    from_mean, to_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - from_mean, target - to_mean
    spread = float((a**2).sum())
    if spread < 1e-9:
        return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    cos = float((a * b).sum()) / spread
    sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (to_mean - turn @ from_mean)[:, None]])


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _model_paths(spec: InsightFaceSpec, models_dir: str, timeout_s: float) -> list[Path]:
    if spec.detector is not None and spec.recognizer is not None:
        both = (spec.detector, spec.recognizer)
        return [locate([model], models_dir, timeout_s=timeout_s) for model in both]
    assert spec.pack is not None
    folder = folder_of(spec.pack, models_dir) / Path(spec.pack.file).stem
    if not folder.is_dir():
        if find([spec.pack], models_dir) is None:
            log.info("the face pack %s is not here yet", folder.name)
        unpack(locate([spec.pack], models_dir, timeout_s=timeout_s), folder, ".onnx")
    return sorted(folder.glob("*.onnx"))


def _open_models(
    zoo: Any, paths: Sequence[Path], keep: set[str], config: EncoderConfig
) -> dict[str, tuple[Any, Path]]:
    models: dict[str, tuple[Any, Path]] = {}
    for path in paths:
        try:
            model = zoo.get_model(
                str(path),
                providers=providers(config.device),
                sess_options=options(config.threads),
                static_shape_sessions=False,
            )
        except Exception as error:  # onnx, protobuf and onnxruntime each raise their own
            raise EncoderUnavailableError(
                f"{path} cannot be loaded as a face model: {error}.", fix="Fetch the file again."
            ) from error
        if model is not None and model.taskname in keep and model.taskname not in models:
            require_provider(model.session, config.device)
            models[model.taskname] = (model, path)
    return models


def _import_zoo() -> Any:
    import_runtime()
    try:
        from insightface import model_zoo
    except ImportError as error:
        raise EncoderUnavailableError(
            f"Faces need insightface, which cannot be imported: {error}.",
            fix="Install photoorg[faces].",
        ) from error
    return model_zoo
