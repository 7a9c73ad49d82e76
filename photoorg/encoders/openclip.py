"""Any open_clip model: images and text in one space."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import EncoderConfig
from photoorg.encoders.batch import Batches
from photoorg.encoders.pixels import Pixels
from photoorg.encoders.spaces import OpenClipSpec
from photoorg.encoders.vectors import unit_norm
from photoorg.encoders.weights import ModelFile, fingerprint, locate
from photoorg.errors import ConfigError, EncoderUnavailableError
from photoorg.models import Rgb
from photoorg.space import EmbeddingSpace

log = logging.getLogger(__name__)

_TEXT_BATCH = 64
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class OpenClipEncoder:
    """An open_clip model with weights from the hub or a file (Radford et al., 2021).

    Weights are float16 on CUDA; on the CPU float32, with bfloat16 autocast where the CPU has it.
    Where the text side cannot be had (`text: false`, or a tokenizer that is missing), the space
    says that it has no text. Raises EncoderUnavailableError if packages or weights are missing.
    """

    def __init__(self, spec: OpenClipSpec, config: EncoderConfig, models_dir: str) -> None:
        torch, open_clip = _import()
        self._device = _device(torch, config.device)
        if config.threads and self._device.type == "cpu":
            torch.set_num_threads(config.threads)
        architecture = _architecture(open_clip, spec)
        path = locate(_weights(open_clip, spec), models_dir, timeout_s=config.hub_timeout_s)
        self._model = _load(open_clip, spec, path, self._device)
        self._pixels = Pixels.from_open_clip(self._model.visual.preprocess_cfg)
        self._half = torch.float16 if self._device.type == "cuda" else None
        self._bf16 = self._device.type == "cpu" and cpu_has_bf16()
        self._tokenize = _tokenizer(open_clip, spec, architecture, config, models_dir)
        self._batches = Batches(
            config.batch_size,
            self._encode,
            self.short_side * 2,
            out_of_memory=(torch.OutOfMemoryError,),
        )
        self._space = EmbeddingSpace(
            name=spec.name,
            encoder=f"open_clip/{spec.model}{_changes(spec)}",
            weights=fingerprint(path),
            revision="1",
            preprocessing=self._pixels.description,
            dim=int(architecture["embed_dim"]),
            modalities=("image", "text") if self._tokenize else ("image",),
            views=spec.views,
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The space of this model and these weights."""
        return self._space

    @property
    def short_side(self) -> int:
        """The model's input size in pixels."""
        return max(self._pixels.height, self._pixels.width)

    def encode_images(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim] of upright sRGB images [h, w, 3] uint8 of any sizes."""
        return self._finish([self._spared(batch) for batch in self._batches.of(images)])

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-norm vectors [n, dim]; longer texts are cut to what the model takes."""
        if self._tokenize is None:
            raise EncoderUnavailableError(
                f"The text side of {self._space.name} was not loaded.",
                fix="The log of its start says what is missing.",
            )
        parts = [
            self._run(
                self._model.encode_text, self._tokenize(list(texts[start : start + _TEXT_BATCH]))
            )
            for start in range(0, len(texts), _TEXT_BATCH)
        ]
        return self._finish(parts)

    def _spared(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        """Encode a batch; in halves where the device's memory does not bear it."""
        import torch

        try:
            return self._encode(images)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
            torch.cuda.empty_cache()
            half = len(images) // 2
            return np.concatenate([self._spared(images[:half]), self._spared(images[half:])])

    def _encode(self, images: Sequence[Rgb]) -> NDArray[np.float32]:
        import torch

        pixels = self._pixels.prepare(images, self._device)
        return self._run(self._model.encode_image, pixels.to(self._half or torch.float32))

    def _run(self, tower: Any, inputs: Any) -> NDArray[np.float32]:
        import torch

        cast: AbstractContextManager[Any] = nullcontext()
        if self._bf16:
            cast = torch.autocast("cpu", dtype=torch.bfloat16)
        with torch.inference_mode(), cast:
            vectors: NDArray[np.float32] = tower(inputs.to(self._device)).float().cpu().numpy()
        return vectors

    def _finish(self, parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        dim = self._space.dim
        if not parts:
            return np.zeros((0, dim), np.float32)
        return unit_norm(np.concatenate(parts), dim, self._space.name)


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512-BF16, AMX, or ARM's BF16)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    names = ("flags", "Features")
    flags = next((line.split() for line in lines if line.startswith(names)), [])
    wanted = {"bf16"} if platform.machine() in ("aarch64", "arm64") else {"avx512_bf16", "amx_bf16"}
    return not wanted.isdisjoint(flags)


def _import() -> tuple[Any, Any]:
    try:
        import open_clip
        import torch
    except ImportError as error:
        raise EncoderUnavailableError(
            f"This space needs open_clip and torch, which cannot be imported: {error}.",
            fix="Install photoorg[clip], or set encoder.space: builtin.",
        ) from error
    return torch, open_clip


def _device(torch: Any, wanted: str) -> Any:
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise EncoderUnavailableError(
            "encoder.device is cuda, but torch finds no CUDA device.",
            fix="Set encoder.device: auto, or install a torch built for this GPU's driver.",
        )
    return torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")


def _architecture(open_clip: Any, spec: OpenClipSpec) -> dict[str, Any]:
    config = open_clip.get_model_config(spec.model)
    if config is None:
        raise ConfigError(
            f"open_clip has no model called {spec.model!r} (space {spec.name}).",
            fix="open_clip.list_models() lists the names it knows.",
        )
    return {**config, **spec.overrides}


def _weights(open_clip: Any, spec: OpenClipSpec) -> tuple[ModelFile, ...]:
    """The weights the space names, or those that open_clip's table gives for its tag."""
    if spec.weights:
        return spec.weights
    tag = _tag(open_clip, spec)
    stem = f"{spec.model}-{spec.pretrained}".replace("/", "-")
    if tag.get("hf_hub"):
        hub, _, name = tag["hf_hub"].rpartition("/")
        names = [name] if name else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
        return tuple(
            ModelFile(file=stem + Path(name).suffix, hub=hub, hub_file=name) for name in names
        )
    return (ModelFile(file=stem + Path(tag["url"]).suffix, url=tag["url"]),)


def _tag(open_clip: Any, spec: OpenClipSpec) -> dict[str, Any]:
    if spec.pretrained is None:
        return {}
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(spec.model)) or "none"
        raise ConfigError(
            f"{spec.model} has no weights tagged {spec.pretrained!r} (space {spec.name}).",
            fix=f"Known: {known}.",
        )
    return tag


def _load(open_clip: Any, spec: OpenClipSpec, path: Path, device: Any) -> Any:
    tag = _tag(open_clip, spec)
    try:
        model = open_clip.create_model(
            spec.model,
            pretrained=str(path),
            precision="fp16" if device.type == "cuda" else "fp32",
            device=device,
            force_quick_gelu=bool(tag.get("quick_gelu")),
            force_preprocess_cfg=tag,
            require_pretrained=True,
            **spec.overrides,
        )
    except Exception as error:  # torch, safetensors and pickle each raise their own
        raise EncoderUnavailableError(
            f"{path} does not hold weights of {spec.model}: {error}",
            fix="Check `model` and `weights` in the space file, or fetch the file again.",
        ) from error
    return model.eval()


def _tokenizer(
    open_clip: Any,
    spec: OpenClipSpec,
    architecture: dict[str, Any],
    config: EncoderConfig,
    models_dir: str,
) -> Any:
    text = architecture.get("text_cfg", {})
    repository = text.get("hf_tokenizer_name")
    if not spec.text:
        return None
    if not repository:
        return open_clip.SimpleTokenizer(
            context_length=text.get("context_length", 77), **text.get("tokenizer_kwargs", {})
        )
    try:
        folder = _tokenizer_folder(repository, config, models_dir)
        return open_clip.tokenizer.HFTokenizer(
            str(folder),
            context_length=text.get("context_length"),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs", {}),
        )
    except EncoderUnavailableError as error:
        log.warning("%s has no text search here: %s", spec.name, error)
        return None


def _tokenizer_folder(repository: str, config: EncoderConfig, models_dir: str) -> Path:
    if importlib.util.find_spec("transformers") is None:
        raise EncoderUnavailableError(
            "its tokenizer needs the package transformers.", fix="Install transformers."
        )
    files = [
        ModelFile(file=f"{repository.replace('/', '--')}/{name}", hub=repository, hub_file=name)
        for name in _TOKENIZER_FILES
    ]
    paths = [locate([file], models_dir, timeout_s=config.hub_timeout_s) for file in files]
    return paths[0].parent


def _changes(spec: OpenClipSpec) -> str:
    if not spec.overrides:
        return ""
    text = json.dumps(spec.overrides, sort_keys=True)
    return f"+{hashlib.sha256(text.encode()).hexdigest()[:8]}"
