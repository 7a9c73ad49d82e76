"""Facts of made-up photos."""

from typing import Any

import numpy as np

from photoorg.curate.facts import Facts
from photoorg.store.catalog.photo_facts import FIELDS


def facts(*photos: dict[str, Any]) -> Facts:
    """Each photo is unlike the others unless it says what is like."""
    rows = np.zeros(len(photos), np.dtype(list(FIELDS)))
    rng = np.random.default_rng(0)
    for number, changes in enumerate(photos):
        row = {
            "photo_id": number.to_bytes(32),
            "pdq": rng.bytes(32),
            "pdq_quality": 90,
            "phash": rng.bytes(8),
            "width": 4000,
            "height": 3000,
            "size": 1000,
            "mime": 4,
            "taken": np.nan,
            "quality": 0.5,
            "added": float(number),
        } | changes
        for name, value in row.items():
            rows[number][name] = np.void(value) if isinstance(value, bytes) else value
    return Facts.of(rows)
