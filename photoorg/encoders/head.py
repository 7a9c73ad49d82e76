"""A projection head over frozen features: a straight path and a bent one beside it, added up."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from photoorg.encoders.vectors import unit_norm
from photoorg.errors import EncoderUnavailableError

Floats = NDArray[np.float32]
PARTS = ("straight", "first", "bias", "second")


@dataclass(frozen=True, slots=True)
class ProjectionHead:
    """y = x straight + relu(x first + bias) second, of unit norm.

    `straight` [dim, out], `first` [dim, hidden], `bias` [hidden], `second` [hidden, out]; `base` is
    the id of the space its inputs live in.
    """

    base: str
    straight: Floats
    first: Floats
    bias: Floats
    second: Floats

    @property
    def dim(self) -> int:
        """Dimension of its outputs."""
        return int(self.straight.shape[1])

    def __call__(self, x_nd: Floats) -> Floats:
        """Unit-norm features [n, dim] of the base space to unit-norm vectors [n, out]."""
        bent = np.maximum(x_nd @ self.first + self.bias, 0) @ self.second
        return unit_norm(x_nd @ self.straight + bent, self.dim, "the projection head")

    def to_bytes(self) -> bytes:
        """A file that from_file reads; equal heads give equal bytes."""
        sink = io.BytesIO()
        np.savez(sink, base=np.array(self.base), **{name: getattr(self, name) for name in PARTS})
        return sink.getvalue()

    @classmethod
    def from_file(cls, path: Path) -> ProjectionHead:
        """Read a head; EncoderUnavailableError if the file is damaged or none."""
        try:
            with np.load(path, allow_pickle=False) as data:
                parts = {name: np.asarray(data[name], np.float32) for name in PARTS}
                head = cls(str(data["base"]), **parts)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise _damaged(path, str(error)) from None
        dim, out = head.straight.shape
        hidden = len(head.bias)
        if head.first.shape != (dim, hidden) or head.second.shape != (hidden, out):
            raise _damaged(path, "its matrices do not fit together")
        return head


def _damaged(path: Path, why: str) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"{path} is no projection head: {why}.",
        fix="Train it again: `photoorg train projection`.",
    )
