"""EmbeddingSpace: the identity that every vector, index, threshold and score carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from photoorg.errors import SpaceMismatchError
from photoorg.views import ONE

Metric = Literal["cosine"]
Kind = Literal["image", "face"]


@dataclass(frozen=True)
class EmbeddingSpace:
    """What a vector means: encoder, weights, revision, preprocessing, dimension and metric.

    Two spaces with equal `id` yield interchangeable vectors; any other mix is an error. `weights`
    is the content hash or hub tag of the weights, never a path, so that the id is the same on
    every machine. `modalities` holds "image", and "text" where the encoder also embeds text; it
    does not enter the id.

    `views` are the parts of a photo that are embedded each by itself, the whole first (names of
    photoorg.views); a photo's likeness to a query is that of its best view. Queries are embedded
    as they are. Where a photo's vectors are stored they lie side by side, `width` numbers a photo.
    """

    name: str
    encoder: str
    weights: str
    revision: str
    preprocessing: str
    dim: int
    metric: Metric = "cosine"
    kind: Kind = "image"
    modalities: tuple[str, ...] = field(default=("image",), compare=False)
    views: tuple[str, ...] = ONE

    @cached_property
    def id(self) -> str:
        """`<name>-<12 hex digits>`: safe in paths, equal only for interchangeable vectors."""
        parts: list[Any] = [self.encoder, self.weights, self.revision, self.preprocessing]
        parts += [self.dim, self.metric, self.kind]
        if self.views != ONE:
            parts.append(list(self.views))
        identity = json.dumps(parts, separators=(",", ":"))
        return f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    @property
    def has_text(self) -> bool:
        """Whether a text query can be embedded in this space."""
        return "text" in self.modalities

    @property
    def width(self) -> int:
        """How many numbers are stored for a photo: a vector of `dim` for each of its views."""
        return self.dim * len(self.views)

    def require(self, other_id: str, what: str) -> None:
        """Raise SpaceMismatchError unless `other_id` is this space's id; `what` names the thing."""
        if other_id != self.id:
            raise SpaceMismatchError(
                f"{what} belongs to space {other_id!r}, not to {self.id!r}.",
                fix="Use the space it was made with, or embed again with this one.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, with the id for people who read it."""
        data = {
            "id": self.id,
            "name": self.name,
            "encoder": self.encoder,
            "weights": self.weights,
            "revision": self.revision,
            "preprocessing": self.preprocessing,
            "dim": self.dim,
            "metric": self.metric,
            "kind": self.kind,
            "modalities": list(self.modalities),
        }
        return data if self.views == ONE else data | {"views": list(self.views)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EmbeddingSpace:
        """Inverse of to_dict; a recorded id that does not fit raises SpaceMismatchError."""
        fields = {k: v for k, v in data.items() if k != "id"}
        fields["modalities"] = tuple(fields.get("modalities", ("image",)))
        fields["views"] = tuple(fields.get("views", ONE))
        space = cls(**fields)
        if "id" in data:
            space.require(str(data["id"]), "A recorded space description")
        return space
