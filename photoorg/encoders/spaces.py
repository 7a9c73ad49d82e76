"""Space files: which encoder, which weights, which preprocessing; and the way from name to encoder.

A space is a YAML file in configs/spaces, named by the file's stem, or any other path.
"""

from __future__ import annotations

import importlib.util
import logging
import sysconfig
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from photoorg import registry
from photoorg.config import EncoderConfig, FacesConfig
from photoorg.encoders import weights
from photoorg.encoders.base import Encoder, FaceEncoder
from photoorg.encoders.weights import ModelFile
from photoorg.errors import ConfigError, EncoderUnavailableError, PhotoOrgError
from photoorg.views import ONE, expand

log = logging.getLogger(__name__)

AUTO_SPACE = "clip-vit-b-32-laion2b"
FALLBACK_SPACE = "builtin"
_NAME = r"^[a-z0-9][a-z0-9._-]{0,62}$"
_Size = Annotated[int, Field(ge=1, le=4096)]
_Three = tuple[float, float, float]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=_NAME)]


class _ImageSpec(_Spec):
    """`views` are the parts of each photo that get a vector of their own (photoorg.views).

    `full`, which comes first, `centre`, `grid2`, `grid3`, `grid4`. Each costs as much to embed, to
    store and to search as the whole does.
    """

    views: tuple[str, ...] = ONE

    @field_validator("views")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return expand(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None


class BuiltinSpec(_ImageSpec):
    """The encoder that needs no weights and no download; it has no text search."""

    kind: Literal["builtin"]


class OpenClipSpec(_ImageSpec):
    """An open_clip model by name, with a hub tag (`pretrained`), a weights file, or both.

    With both, the tag only says which preprocessing the weights were trained with. `weights` may
    list alternatives: the same weights in other formats. `overrides` replaces parts of the model's
    architecture (embed_dim, vision_cfg, text_cfg), for weights trained on a variant of it.
    `text: false` leaves text search out.
    """

    kind: Literal["openclip"]
    model: str
    pretrained: str | None = None
    weights: tuple[ModelFile, ...] = ()
    overrides: dict[str, Any] = {}
    text: bool = True

    @field_validator("weights", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict | ModelFile) else value

    @model_validator(mode="after")
    def _has_weights(self) -> OpenClipSpec:
        if self.pretrained is None and not self.weights:
            raise ValueError("give `pretrained` (a hub tag), `weights` (a file), or both")
        return self


class OnnxPreprocessing(BaseModel):
    """From upright sRGB uint8 to the model's input: resize, crop, (pixel / scale - mean) / std.

    `resize`: squash (ignore the aspect), shortest (short side to `resize_to`, crop the centre),
    longest (long side to `size`, pad with `pad`). `size` is [height, width] or one number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: _Size | tuple[_Size, _Size]
    resize: Literal["squash", "shortest", "longest"] = "shortest"
    resize_to: _Size | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    scale: Annotated[float, Field(gt=0)] = 255.0
    mean: _Three = (0.0, 0.0, 0.0)
    std: _Three = (1.0, 1.0, 1.0)
    channels: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["auto", "nchw", "nhwc"] = "auto"
    pad: Annotated[int, Field(ge=0, le=255)] = 0

    @model_validator(mode="after")
    def _makes_sense(self) -> OnnxPreprocessing:
        if min(self.std) <= 0:
            raise ValueError("std must be above 0")
        if self.resize_to is not None:
            if self.resize != "shortest":
                raise ValueError("resize_to goes with resize: shortest only")
            if self.resize_to < max(self.height, self.width):
                raise ValueError("resize_to must not be below size")
        return self

    @property
    def height(self) -> int:
        """Input height in pixels."""
        return self.size if isinstance(self.size, int) else self.size[0]

    @property
    def width(self) -> int:
        """Input width in pixels."""
        return self.size if isinstance(self.size, int) else self.size[1]


class OnnxSpec(_ImageSpec):
    """Any image encoder as an ONNX file; `output` is a name or an index of its outputs."""

    kind: Literal["onnx"]
    weights: ModelFile
    preprocessing: OnnxPreprocessing
    input: str | None = None
    output: str | int = 0


class ProjectedSpec(_ImageSpec):
    """Another space's vectors (`base`, a name or path) through a head trained by photoorg.

    Without `views` it has those of its base.
    """

    kind: Literal["projected"]
    base: str
    weights: ModelFile


class InsightFaceSpec(_Spec):
    """Faces: an InsightFace pack (a folder or zip of ONNX files), or detector and recogniser.

    `detector_sizes` are the square input sizes the detector runs at, in pixels; small ones find
    faces that fill the picture, large ones find small faces. `long_side` is the size of the image
    that faces are cropped from.
    """

    kind: Literal["insightface"]
    pack: ModelFile | None = None
    detector: ModelFile | None = None
    recognizer: ModelFile | None = None
    detector_sizes: tuple[_Size, ...] = (128, 640)
    long_side: _Size = 1280

    @model_validator(mode="after")
    def _one_or_the_other(self) -> InsightFaceSpec:
        files = (self.detector is not None) + (self.recognizer is not None)
        if (self.pack is None) != (files == 2) or files == 1:
            raise ValueError("give either `pack`, or both `detector` and `recognizer`")
        if any(size % 32 for size in self.detector_sizes) or not self.detector_sizes:
            raise ValueError("detector_sizes must be multiples of 32")
        return self


ImageSpec = BuiltinSpec | OpenClipSpec | OnnxSpec | ProjectedSpec
AnySpec = ImageSpec | InsightFaceSpec
SpaceSpec = Annotated[AnySpec, Field(discriminator="kind")]


def load_spec(name_or_path: str | Path) -> AnySpec:
    """Read a space by its name in configs/spaces, or by the path of a YAML file.

    Raises ConfigError naming the file, every wrong key and what was expected.
    """
    path = _find(str(name_or_path))
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold the keys of one space, `kind` first.")
    try:
        return _CHECK.validate_python({"name": path.stem, **data})
    except ValidationError as error:
        lines = [fault_line(fault) for fault in error.errors()]
        raise ConfigError(
            f"{path} does not describe a space:\n" + "\n".join(lines) + "\n",
            fix="The files in configs/spaces show every kind.",
        ) from None


def spec_name(name_or_path: str) -> str:
    """What the space of a file is called; "" where no file there describes one."""
    try:
        return load_spec(name_or_path).name
    except PhotoOrgError:
        return ""


def list_specs() -> list[str]:
    """Names of the spaces that can be loaded by name, sorted."""
    folders = [folder for folder in config_folders("spaces") if folder.is_dir()]
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def choose_spec(config: EncoderConfig, models_dir: str) -> ImageSpec:
    """The image space `config.space` names; for "auto" the one that can be had here.

    "auto" is CLIP if its packages are installed and its weights are here or answer within
    `hub_timeout_s`, else builtin, with one warning about what is lost. A job over several machines
    chooses once and hands the name on, so that all of them agree.
    """
    if config.space != "auto":
        spec = load_spec(config.space)
        if isinstance(spec, InsightFaceSpec):
            raise ConfigError(
                f"encoder.space names {spec.name!r}, which is a space of faces.",
                fix="Name it in encoder.faces, and a space of images in encoder.space.",
            )
        return spec
    wanted = load_spec(AUTO_SPACE)
    if not isinstance(wanted, OpenClipSpec) or not wanted.weights:
        raise ConfigError(
            f"encoder.space is auto, which needs {AUTO_SPACE} to be of kind openclip with weights.",
            fix=f"Mend your own {AUTO_SPACE}.yaml, or name another space.",
        )
    missing = _missing(wanted.weights, models_dir, config.hub_timeout_s)
    return wanted if missing is None else _fall_back(missing)


def open_encoder(config: EncoderConfig, models_dir: str) -> Encoder:
    """The image encoder `config.space` names, loaded; see choose_spec for "auto".

    Raises EncoderUnavailableError if its weights or packages are not to be had; "auto" never does.
    """
    spec = choose_spec(config, models_dir)
    try:
        return _construct(spec, config, models_dir)
    except EncoderUnavailableError as error:
        if config.space != "auto" or spec.kind == "builtin":
            raise
        return _construct(_fall_back(str(error)), config, models_dir)


def open_face_encoder(
    config: EncoderConfig, models_dir: str, *, faces: FacesConfig | None = None
) -> FaceEncoder:
    """The face encoder `config.faces` names, loaded; `faces` holds its threshold and switches."""
    spec = load_spec(config.faces)
    if not isinstance(spec, InsightFaceSpec):
        raise ConfigError(
            f"encoder.faces names {spec.name!r}, which is no space of faces.",
            fix="Name one of kind insightface, such as faces-buffalo_l.",
        )
    kind = registry.resolve(registry.FACE_ENCODERS, spec.kind, "face encoder")
    encoder: FaceEncoder = kind(spec, config, models_dir, faces=faces or FacesConfig())
    return encoder


_CHECK: TypeAdapter[AnySpec] = TypeAdapter(SpaceSpec)


def _construct(spec: ImageSpec, config: EncoderConfig, models_dir: str) -> Encoder:
    kind = registry.resolve(registry.ENCODERS, spec.kind, "encoder")
    encoder: Encoder = kind(spec, config, models_dir)
    return encoder


def _missing(models: tuple[ModelFile, ...], models_dir: str, timeout_s: float) -> str | None:
    """Why CLIP cannot be used here, in words; None if it can."""
    absent = [name for name in ("torch", "open_clip") if importlib.util.find_spec(name) is None]
    if absent:
        verb = "is" if len(absent) == 1 else "are"
        return f"{' and '.join(absent)} {verb} not installed (install photoorg[clip])."
    if weights.find(models, models_dir) or weights.reachable(models, timeout_s):
        return None
    first = models[0]
    return (
        f"its weights are not here and {first.source} did not answer within {timeout_s:g} s (put "
        f"that file into {weights.folder_of(first, models_dir)} as {first.file})."
    )


def _fall_back(why: str) -> ImageSpec:
    log.warning(
        "Using the builtin encoder: no text search, and similarity is weaker. "
        "CLIP (%s) would give both, but %s",
        AUTO_SPACE,
        why,
    )
    return BuiltinSpec(kind="builtin", name=FALLBACK_SPACE)


def _find(name_or_path: str) -> Path:
    if name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path or "\\" in name_or_path:
        path = Path(name_or_path).expanduser()
        if not path.is_file():
            raise ConfigError(
                f"There is no space file {path}.",
                fix="Check the path, or give the name of a file in configs/spaces.",
            )
        return path
    for folder in config_folders("spaces"):
        path = folder / f"{name_or_path}.yaml"
        if path.is_file():
            return path
    known = ", ".join(list_specs())
    raise ConfigError(
        f"There is no space called {name_or_path!r}.",
        fix=f"Known: {known}; or give the path of a YAML file.",
    )


def config_folders(name: str) -> list[Path]:
    """Where configs/`name` may lie: beside the user, beside a checkout, where a wheel puts it."""
    places = [
        Path.cwd(),
        Path(__file__).resolve().parents[2],
        Path(sysconfig.get_path("data")) / "share" / "photoorg",
    ]
    return [place / "configs" / name for place in places]


def fault_line(fault: Any) -> str:
    """One fault of a validated YAML file in a line: where, what, and what was there."""
    where = ".".join(str(part) for part in fault["loc"]) or "(top level)"
    if fault["type"] == "extra_forbidden":
        return f"  {where}: there is no such key"
    got = "" if fault["type"] == "missing" else f" (got {fault['input']!r})"
    return f"  {where}: {fault['msg']}{got}"
