"""Zero-shot tags: phrases per category in a space with text, compared with vectors of photos.

A tag is the mean of its phrases put into every template (prompt ensembling: Radford et al., 2021,
section 3.1.4). Only vectors are looked at, so photos can be tagged again without their pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from photoorg.encoders.base import Encoder, TextEncoder
from photoorg.encoders.spaces import config_folders, fault_line
from photoorg.encoders.vectors import unit_norm
from photoorg.errors import ConfigError, NoTextSearchError
from photoorg.models import ZERO_SHOT, PhotoTag
from photoorg.space import EmbeddingSpace

Floats = NDArray[np.float32]
DEFAULT = "default"
_Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_ -]{0,62}$")]
_Phrase = Annotated[str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True)]


class Category(BaseModel):
    """One file of prompts: the tags of a category and how they are chosen.

    `tags` maps a tag to its phrases; `none` are phrases of photos that no tag fits. `select:
    single` takes the most probable tag of a softmax over tags and `none`; `multi` takes every tag
    that beats the best of `none`, `most` at the most. `threshold` is the least probability,
    `temperature` what cosines are divided by (CLIP learned about 0.01).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: _Name
    select: Literal["single", "multi"]
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    temperature: Annotated[float, Field(gt=0)] = 0.01
    most: Annotated[int, Field(ge=1)] = 5
    templates: Annotated[tuple[_Phrase, ...], Field(min_length=1)]
    tags: Annotated[dict[_Name, tuple[_Phrase, ...]], Field(min_length=1)]
    none: tuple[_Phrase, ...] = ()

    @field_validator("templates")
    @classmethod
    def _with_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [template for template in templates if template.count("{}") != 1]
        if wrong:
            raise ValueError(f"each template needs one {{}} for the phrase, not {wrong[0]!r}")
        return templates

    @field_validator("tags", mode="before")
    @classmethod
    def _phrases(cls, tags: Any) -> Any:
        """A tag without phrases is its own phrase; one phrase needs no list."""
        if not isinstance(tags, Mapping):
            return tags
        return {
            tag: (tag,) if not said else (said,) if isinstance(said, str) else said
            for tag, said in tags.items()
        }

    @model_validator(mode="after")
    def _makes_sense(self) -> Category:
        if self.select == "multi" and not self.none:
            raise ValueError("select: multi needs `none`, phrases that tags are measured against")
        if self.select == "single" and len(self.tags) + len(self.none) < 2:
            raise ValueError("select: single needs two tags, or one and `none`, to choose from")
        return self


def load_prompts(name_or_path: str = DEFAULT, default: str = "prompts") -> tuple[Category, ...]:
    """The categories in a folder of YAML files, by file name; "default" is configs/`default`.

    Raises ConfigError naming the file, every wrong key and what was expected.
    """
    folder = _folder(name_or_path, default)
    categories = tuple(_load(path) for path in sorted(folder.glob("*.yaml")))
    if not categories:
        raise ConfigError(
            f"{folder} holds no prompts.", fix="Put one YAML file per category there."
        )
    _require_unique(folder, categories)
    return categories


@dataclass(frozen=True, slots=True)
class _Choices:
    category: Category
    labels: tuple[str, ...]
    tags_td: Floats
    none_nd: Floats


class Tagger:
    """Tags vectors of one space by the categories it was given."""

    def __init__(self, space: EmbeddingSpace, choices: Sequence[_Choices]) -> None:
        self.space = space
        self._choices = tuple(choices)

    def tag(self, x_nd: Floats) -> list[list[PhotoTag]]:
        """The tags of each unit vector [n, dim], by category and then the surest first."""
        x_nd = np.asarray(x_nd, np.float32)
        found: list[list[PhotoTag]] = [[] for _ in x_nd]
        for choices in self._choices:
            cosine_nt = x_nd @ choices.tags_td.T
            score_nt = _probabilities(choices, x_nd, cosine_nt)
            category = choices.category
            most = 1 if category.select == "single" else category.most
            # By cosine: probabilities near 1 are all the same number.
            order_nt = np.argsort(-cosine_nt, axis=1, kind="stable")[:, :most]
            for tags, scores, order in zip(found, score_nt, order_nt, strict=True):
                tags += [
                    PhotoTag(choices.labels[t], category.category, float(scores[t]), ZERO_SHOT)
                    for t in order
                    if scores[t] >= category.threshold
                ]
        return found

    def shares(self, x_nd: Floats) -> Floats:
        """How probable it is that any tag fits each unit vector: 0..1 [n], the most of a category.

        Of `select: single` the tags' probabilities add up, of `multi` the highest counts.
        """
        x_nd = np.asarray(x_nd, np.float32)
        best = np.zeros(len(x_nd), np.float32)
        for choices in self._choices:
            score_nt = _probabilities(choices, x_nd, x_nd @ choices.tags_td.T)
            single = choices.category.select == "single"
            np.maximum(best, score_nt.sum(axis=1) if single else score_nt.max(axis=1), out=best)
        return np.clip(best, 0.0, 1.0)


def open_tagger(encoder: Encoder, categories: Sequence[Category]) -> Tagger:
    """Embed the prompts once; NoTextSearchError if the encoder's space has no text."""
    if not encoder.space.has_text or not isinstance(encoder, TextEncoder):
        raise NoTextSearchError(
            f"The space {encoder.space.name} has no text, so photos cannot be tagged by words.",
            fix="Embed the photos with a CLIP model (encoder.space).",
        )
    return Tagger(encoder.space, [_embedded(encoder, category) for category in categories])


def _probabilities(choices: _Choices, x_nd: Floats, cosine_nt: Floats) -> Floats:
    """How probable each tag is [n, tags], 0..1; a vector that is no number is nothing."""
    heat = choices.category.temperature
    tag_nt = cosine_nt / heat
    none_n = x_nd @ choices.none_nd.T / heat
    if choices.category.select == "multi":
        margin = np.clip(tag_nt - none_n.max(axis=1, keepdims=True), -60, 60)
        return np.asarray(np.nan_to_num(1 / (1 + np.exp(-margin)), nan=0.0), np.float32)
    every = np.concatenate([tag_nt, none_n], axis=1)
    power = np.exp(every - every.max(axis=1, keepdims=True))
    share = power / power.sum(axis=1, keepdims=True)
    return np.asarray(np.nan_to_num(share[:, : len(choices.labels)], nan=0.0), np.float32)


def _embedded(encoder: TextEncoder, category: Category) -> _Choices:
    name, dim = encoder.space.name, encoder.space.dim
    rows = []
    for phrases in category.tags.values():
        said = [template.replace("{}", p) for template in category.templates for p in phrases]
        rows.append(encoder.encode_texts(said).mean(axis=0))
    none = encoder.encode_texts(category.none) if category.none else np.zeros((0, dim), np.float32)
    tags_td = unit_norm(np.array(rows), dim, name)
    return _Choices(category, tuple(category.tags), tags_td, none)


def _folder(name_or_path: str, default: str) -> Path:
    folders = config_folders(default)
    if name_or_path != DEFAULT:
        folders = [Path(name_or_path).expanduser()]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise ConfigError(
            f"There is no folder of prompts {folders[0]}.",
            fix="Set enrich.prompts to a folder of YAML files, or to default.",
        )
    return found


def _load(path: Path) -> Category:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold the keys of one category, `tags` among them.")
    try:
        return Category.model_validate({"category": path.stem, **data})
    except ValidationError as error:
        lines = [fault_line(fault) for fault in error.errors()]
        raise ConfigError(
            f"{path} does not describe a category of tags:\n" + "\n".join(lines) + "\n",
            fix="The files in configs/prompts show every key.",
        ) from None


def _require_unique(folder: Path, categories: Sequence[Category]) -> None:
    """A tag belongs to one category, so that mapping it elsewhere means one thing."""
    seen: dict[str, str] = {}
    for category in categories:
        for tag in category.tags:
            if tag in seen:
                raise ConfigError(
                    f"{folder} has the tag {tag!r} twice: in {seen[tag]} and {category.category}.",
                    fix="Rename one of them.",
                )
            seen[tag] = category.category
