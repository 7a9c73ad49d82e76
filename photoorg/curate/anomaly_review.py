"""Scanning a library for anomalies, and dismissing them; audited."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photoorg.curate.anomalies import Vectors, measure, neighbours, queue, reasons
from photoorg.errors import NotFoundError
from photoorg.store.catalog import anomalies, audit
from photoorg.store.catalog.anomalies import AnomalyStatus, Found
from photoorg.store.catalog.connection import Transaction

NEIGHBOURS = 10
MOST = 1_000


def findings(photo_ids: Sequence[bytes], x_nd: Vectors, most: int = MOST) -> list[Found]:
    """The strangest photos by their unit-norm vectors [n, dim]; rows of zeros take no part."""
    there = np.flatnonzero(np.abs(x_nd).sum(axis=1) > 0)
    distance_nk, neighbour_nk = neighbours(x_nd[there], NEIGHBOURS)
    found = measure(distance_nk, neighbour_nk)
    answer = []
    for row in queue(found, most).tolist():
        nearest, density = float(found.nearest_n[row]), float(found.density_n[row])
        ood = float(found.ood_n[row])
        score = float(np.float32(found.score_n[row]))
        told = reasons(nearest, density, ood)
        answer.append(Found(photo_ids[there[row]], score, nearest, density, ood, told))
    return answer


def store(tx: Transaction, space_id: str, found: Sequence[Found], photos: int, actor: str) -> int:
    """Bring the queue up to a scan of so many photos; how many are open."""
    count = anomalies.replace(tx, space_id, found)
    audit.record(tx, actor, "anomalies.scan", "anomalies", "all", {"photos": photos, "open": count})
    return count


def decide(
    tx: Transaction, photo_ids: Sequence[str], status: AnomalyStatus, actor: str
) -> list[str]:
    """Dismiss photos or open them again; those that changed. NotFoundError for others."""
    missing = sorted(set(photo_ids) - anomalies.known(tx, photo_ids))
    if missing:
        raise NotFoundError(
            f"Photo {missing[0]!r} is not in the queue.", fix="`photoorg anomalies list` shows it."
        )
    changed = anomalies.set_status(tx, photo_ids, status, actor)
    action = "anomaly.dismiss" if status == "dismissed" else "anomaly.reopen"
    for photo in changed:
        audit.record(tx, actor, action, "photo", photo)
    return changed
