"""EmbeddingSpace: the identity that every vector, index, threshold and score carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from photoorg.errors import SpaceMismatchError

Metric = Literal["cosine"]
Kind = Literal["image", "face"]


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What a vector means: encoder, weights, revision, preprocessing, dimension and metric.

    Two spaces with equal `id` yield interchangeable vectors; any other mix is an error. `weights`
    is the content hash or hub tag of the weights, never a path, so that the id is the same on
    every machine. `modalities` holds "image", and "text" where the encoder also embeds text; it
    does not enter the id.
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

    @property
    def id(self) -> str:
        """`<name>-<12 hex digits>`: safe in paths, equal only for interchangeable vectors."""
        parts = [self.encoder, self.weights, self.revision, self.preprocessing]
        identity = json.dumps([*parts, self.dim, self.metric, self.kind], separators=(",", ":"))
        return f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    @property
    def has_text(self) -> bool:
        """Whether a text query can be embedded in this space."""
        return "text" in self.modalities

    def require(self, other_id: str, what: str) -> None:
        """Raise SpaceMismatchError unless `other_id` is this space's id; `what` names the thing."""
        if other_id != self.id:
            raise SpaceMismatchError(
                f"{what} belongs to space {other_id!r}, not to {self.id!r}.",
                fix="Use the space it was made with, or embed again with this one.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form, with the id for people who read it."""
        return {
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

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EmbeddingSpace:
        """Inverse of to_dict; a recorded id that does not fit raises SpaceMismatchError."""
        fields = {k: v for k, v in data.items() if k != "id"}
        fields["modalities"] = tuple(fields.get("modalities", ("image",)))
        space = cls(**fields)
        if "id" in data:
            space.require(str(data["id"]), "A recorded space description")
        return space
