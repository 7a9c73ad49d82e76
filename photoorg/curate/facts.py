"""What is known of every photo when duplicates are looked for, as columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
PDQ_MIN_QUALITY = 49
"""PDQ hashes of this quality or less are of featureless images and match by chance."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Columns [n] of live photos; about 200 bytes a photo.

    `keys` are sha256 digests [n, 32], `pdq` [n, 4] and `phash` [n, 1] hashes as 64-bit words.
    `pdq_quality` is -1 where there are no hashes. `taken` is in seconds, NaN where no clock tells;
    `camera` and `burst` are numbers that are equal for equal names, 0 where unknown; `mime` is a
    place in photo_facts.MIMES.
    """

    keys: NDArray[np.uint8]
    pdq: NDArray[np.uint64]
    pdq_quality: NDArray[np.int32]
    phash: NDArray[np.uint64]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    size: NDArray[np.int64]
    mime: NDArray[np.int32]
    taken: Floats
    camera: NDArray[np.int64]
    burst: NDArray[np.int64]
    quality: Floats
    favourite: Flags
    in_album: Flags
    original: Flags
    added: Floats

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, rows: NDArray[Any]) -> Facts:
        """From the rows of photo_facts.read."""

        def column(name: str, kind: Any) -> Any:
            return np.ascontiguousarray(rows[name]).astype(kind)

        def raw(name: str, kind: Any, width: int) -> Any:
            data = np.ascontiguousarray(rows[name]).tobytes()
            return np.frombuffer(data, kind).reshape(len(rows), width).copy()

        return cls(
            keys=raw("photo_id", np.uint8, 32),
            pdq=raw("pdq", np.uint64, 4),
            pdq_quality=column("pdq_quality", np.int32),
            phash=raw("phash", np.uint64, 1),
            width=column("width", np.int32),
            height=column("height", np.int32),
            size=column("size", np.int64),
            mime=column("mime", np.int32),
            taken=column("taken", np.float64),
            camera=column("camera", np.int64),
            burst=column("burst", np.int64),
            quality=column("quality", np.float64),
            favourite=column("favourite", np.bool_),
            in_album=column("in_album", np.bool_),
            original=column("original", np.bool_),
            added=column("added", np.float64),
        )

    def take(self, rows: NDArray[Any]) -> Facts:
        """Some photos, in the order of `rows`."""
        return Facts(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def ids(self) -> list[str]:
        """Photo ids in hex."""
        text = np.ascontiguousarray(self.keys).tobytes().hex()
        return [text[i : i + 64] for i in range(0, len(text), 64)]

    @property
    def hashed(self) -> Flags:
        """Whose hashes tell something."""
        return self.pdq_quality > PDQ_MIN_QUALITY
