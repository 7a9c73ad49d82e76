"""AllowedSets: the photos that filters allow, found once per filter and state of the catalog."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from photoorg.index.photo_ids import BYTES
from photoorg.index.subset import AllowedPhotos
from photoorg.search.filter_sql import FOUND, compile_filter
from photoorg.search.filters import Filter, parse_filter
from photoorg.store.catalog import Catalog, Transaction, changes

Key = tuple[str, str]


@dataclass(slots=True)
class _Entry:
    """One filter's photos as they were at `revision`; `lock` lets one caller look them up."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    photos: AllowedPhotos | None = None
    revision: int = -1


class AllowedSets:
    """Asks the catalog which photos a filter allows; the least recently used are forgotten.

    One catalog query gives all ids of a filter as one value of 32 bytes each. What is kept takes at
    most `budget_bytes`, and is used as long as no later state of the catalog is asked for.
    """

    def __init__(self, catalog: Catalog, budget_bytes: int) -> None:
        self._catalog = catalog
        self._budget = budget_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, tenant: str, text: str, revision: int) -> AllowedPhotos:
        """The photos that the filter (its JSON) allows at `revision` of the catalog or later."""
        with self._guard:
            entry = self._entries.setdefault((tenant, text), _Entry())
            self._entries.move_to_end((tenant, text))
        with entry.lock:
            if entry.photos is None or entry.revision < revision:
                with self._catalog.tenant(tenant) as tx:
                    entry.revision = changes.count(tx)
                    entry.photos = allowed_photos(tx, parse_filter(text))
            photos = entry.photos
        self._evict()
        return photos

    def _evict(self) -> None:
        with self._guard:
            sizes = {
                key: entry.photos.memory_bytes() if entry.photos is not None else 0
                for key, entry in self._entries.items()
            }
            total = sum(sizes.values())
            for key in list(self._entries)[:-1]:
                if total <= self._budget:
                    return
                total -= sizes[key]
                del self._entries[key]


def allowed_photos(tx: Transaction, chosen: Filter) -> AllowedPhotos:
    """The tenant's photos that the filter allows and a search may show."""
    made = compile_filter(chosen)
    row = tx.conn.execute(
        (
            "SELECT coalesce(string_agg(p.photo_id, ''::bytea ORDER BY p.photo_id), '') FROM"
            f" photos p WHERE p.tenant_id = %(tenant)s AND {FOUND} AND {made.condition}"
        ).encode(),
        {"tenant": tx.tenant, **made.values},
    ).fetchone()
    assert row is not None
    return AllowedPhotos(np.frombuffer(row[0], np.uint8).reshape(-1, BYTES))
