"""Any image encoder that is an ONNX file, with its preprocessing declared in the space file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.encoders.batch import Batches
from photoorg.encoders.sessions import open_session
from photoorg.encoders.spaces import OnnxPreprocessing, OnnxSpec
from photoorg.encoders.vectors import unit_norm
from photoorg.encoders.weights import fingerprint, locate
from photoorg.errors import ConfigError
from photoorg.models import Rgb
from photoorg.space import EmbeddingSpace

VERSION = 1
_LONGEST_RATIO = 8
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class OnnxEncoder:
    """Images only; batches of any size, also through models whose batch size is fixed.

    A model whose input is uint8 gets the resized pixels as they are. Raises ConfigError where the
    space file and the model disagree, EncoderUnavailableError if the file cannot be had or loaded.
    """

    def __init__(self, spec: OnnxSpec, config: EncoderConfig, models_dir: str) -> None:
        path = locate([spec.weights], models_dir, timeout_s=config.hub_timeout_s)
        self._session = open_session(path, device=config.device, threads=config.threads)
        self._prepare = spec.preprocessing
        self._input = _pick(self._session.get_inputs(), spec.input or 0, "input", spec)
        self._output = _pick(self._session.get_outputs(), spec.output, "output", spec).name
        self._nchw = _is_nchw(self._input, spec)
        self._dtype = _dtype(self._input, spec)
        fixed = self._input.shape[0]
        self._fixed_batch = fixed if isinstance(fixed, int) else None
        self._batches = Batches(
            self._fixed_batch or config.batch_size, self._run, self.short_side * 2
        )
        probe = self._run([np.zeros((8, 8, 3), np.uint8)])
        self._space = EmbeddingSpace(
            name=spec.name,
            encoder="onnx",
            weights=fingerprint(path),
            revision=str(self._output),
            preprocessing=f"v{VERSION} {spec.preprocessing.model_dump_json()}",
            dim=probe.shape[1],
            views=spec.views,
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The space of this file, output and preprocessing."""
        return self._space

    @property
    def short_side(self) -> int:
        """Pixels the resize step asks for."""
        return self._prepare.resize_to or max(self._prepare.height, self._prepare.width)

    def encode_images(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim] of upright sRGB images [h, w, 3] uint8 of any sizes."""
        parts = [self._run(batch) for batch in self._batches.of(images)]
        if not parts:
            return np.zeros((0, self._space.dim), np.float32)
        return unit_norm(np.concatenate(parts), self._space.dim, self._space.name)

    def _run(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        batch = np.stack([self._pixels(image) for image in images])
        if self._fixed_batch and len(batch) < self._fixed_batch:
            padding = np.repeat(batch[-1:], self._fixed_batch - len(batch), axis=0)
            batch = np.concatenate([batch, padding])
        (output,) = self._session.run([self._output], {self._input.name: batch})
        vectors = np.asarray(output, np.float32)[: len(images)]
        if vectors.ndim != 2 and vectors.size != len(images) * vectors.shape[1]:
            raise ConfigError(
                f"Output {self._output} has shape {list(np.shape(output))}: no vector an image.",
                fix="Name in `output` the one that holds the pooled features.",
            )
        return vectors.reshape(len(images), -1)

    def _pixels(self, image: Rgb) -> NDArray[Any]:
        plan = self._prepare
        rgb = fit(image, plan)
        channels: NDArray[Any] = rgb[:, :, ::-1] if plan.channels == "bgr" else rgb
        if self._dtype != np.uint8:
            mean, std = np.asarray(plan.mean, np.float32), np.asarray(plan.std, np.float32)
            channels = (channels.astype(np.float32) / plan.scale - mean) / std
        ordered = channels.transpose(2, 0, 1) if self._nchw else channels
        return np.ascontiguousarray(ordered, dtype=self._dtype)


def fit(image: Rgb, plan: OnnxPreprocessing) -> Rgb:
    """The image resized, cropped or padded to the plan's size; still uint8 [height, width, 3]."""
    height, width = image.shape[:2]
    target = (plan.width, plan.height)
    kernel = _FILTERS[plan.interpolation]
    picture = Image.fromarray(np.ascontiguousarray(image))
    if plan.resize == "squash":
        return np.asarray(picture.resize(target, kernel))
    if plan.resize == "longest":
        scale = min(plan.width / width, plan.height / height)
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new("RGB", target, (plan.pad,) * 3)
        corner = (plan.width - small[0]) // 2, (plan.height - small[1]) // 2
        canvas.paste(picture.resize(small, kernel), corner)
        return np.asarray(canvas)
    scale = max(plan.width / width, plan.height / height)
    if plan.resize_to is not None:
        scale = plan.resize_to / min(width, height)
    # The centre that survives the crop is cut out in source pixels, so that a long strip is never
    # blown up whole.
    kept_w, kept_h = plan.width / scale, plan.height / scale
    left, top = (width - kept_w) / 2, (height - kept_h) / 2
    box = (max(0.0, left), max(0.0, top), min(width, left + kept_w), min(height, top + kept_h))
    return np.asarray(picture.resize(target, kernel, box=box))


def _pick(nodes: Sequence[Any], wanted: str | int, what: str, spec: OnnxSpec) -> Any:
    for index, node in enumerate(nodes):
        if wanted in (index, node.name):
            return node
    known = ", ".join(node.name for node in nodes)
    raise ConfigError(
        f"{spec.weights.file} has no {what} {wanted!r} (space {spec.name}).",
        fix=f"It has: {known}.",
    )


def _is_nchw(node: Any, spec: OnnxSpec) -> bool:
    shape, plan = node.shape, spec.preprocessing
    if len(shape) != 4:
        raise ConfigError(
            f"Input {node.name} of {spec.weights.file} has shape {shape}: not a batch of images.",
            fix="Name the image input in `input`.",
        )
    nchw = plan.layout == "nchw" or (plan.layout == "auto" and shape[1] == 3)
    if plan.layout == "auto" and not nchw and shape[3] != 3:
        raise ConfigError(
            f"Input {node.name} of {spec.weights.file} has shape {shape}, which does not tell "
            "where the channels are.",
            fix="Say so with preprocessing.layout: nchw or nhwc.",
        )
    sides = shape[2:4] if nchw else shape[1:3]
    for side, declared in zip(sides, (plan.height, plan.width), strict=True):
        if isinstance(side, int) and side != declared:
            raise ConfigError(
                f"{spec.weights.file} takes images of {sides[1]}x{sides[0]} pixels, but space "
                f"{spec.name} declares {plan.width}x{plan.height}.",
                fix="Set preprocessing.size to the model's.",
            )
    return nchw


def _dtype(node: Any, spec: OnnxSpec) -> Any:
    if node.type not in _TYPES:
        raise ConfigError(
            f"Input {node.name} of {spec.weights.file} is a {node.type}.",
            fix=f"Supported: {', '.join(_TYPES)}.",
        )
    return _TYPES[node.type]
