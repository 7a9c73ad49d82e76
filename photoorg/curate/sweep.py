"""The duplicate job: read facts, find and score pairs, honour decisions, store groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate import duplicates, keepers
from photoorg.curate.calibrated import in_force
from photoorg.curate.evidence import KINDS, in_words
from photoorg.curate.facts import Facts
from photoorg.curate.grouping import Star, layered
from photoorg.curate.looking import Pictures
from photoorg.curate.scoring import Scored, Visual
from photoorg.curation_config import DedupConfig
from photoorg.encoders.base import Encoder
from photoorg.store.catalog import Catalog, Transaction, photo_facts
from photoorg.store.catalog import duplicates as stored
from photoorg.store.catalog.duplicates import PairRow, ScannedGroup, ScannedMember

OpenVisual = Callable[[NDArray[np.uint8]], AbstractContextManager[Visual | None]]
"""Opens neighbours by embedding for photos with these keys [n, 32]."""
OpenEncoder = Callable[[], Encoder | None]
"""Opens the encoder of those vectors; None where it cannot be had."""
WORDS = 10_000


@dataclass(frozen=True, slots=True)
class Summary:
    """What a scan found from `confidence` on; `saturated` photos have more near ones than were
    compared.
    """

    photos: int
    candidates: int
    looked: int
    pairs: int
    groups: int
    new_groups: int
    duplicates: int
    bytes: int
    saturated: int
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a threshold would suggest: groups, photos beside the keepers, and their bytes."""

    confidence: float
    groups: int
    photos: int
    bytes: int


def sweep(
    catalog: Catalog,
    tenant: str,
    config: DedupConfig,
    *,
    visual: OpenVisual | None = None,
    pictures: Pictures | None = None,
    encoder: OpenEncoder | None = None,
    confidence: float | None = None,
) -> Summary:
    """Scan the tenant's live photos and store pairs and groups; what people decided stays.

    What was calibrated for the tenant and its space goes before `config`, and `confidence` before
    that. No transaction is open while pairs are looked for. Photos that leave meanwhile are left
    out.
    """
    with catalog.tenant(tenant) as tx:
        config = in_force(tx, config)
    if confidence is not None:
        config = config.model_copy(update={"confidence": confidence})
    facts, found = compare(
        catalog, tenant, config, visual=visual, pictures=pictures, encoder=encoder
    )
    with catalog.tenant(tenant) as tx:
        stored.lock(tx)
        found = _still_there(tx, facts, found)
        decided, apart = _decisions(tx, facts)
        groups = duplicates.group(found, config.confidence, decided=decided, apart=apart)
        pairs = stored.replace_pairs(tx, _pair_rows(facts, found))
        made = [_group(facts, found, star, config) for star in groups]
        count, new = stored.replace_open(tx, made)
    return Summary(
        photos=len(facts),
        candidates=found.candidates,
        looked=found.looked,
        pairs=pairs,
        groups=count,
        new_groups=new,
        duplicates=sum(len(g.members) - 1 for g in made),
        bytes=sum(g.reclaimable for g in made),
        saturated=found.saturated,
        confidence=config.confidence,
    )


def compare(
    catalog: Catalog,
    tenant: str,
    config: DedupConfig,
    *,
    visual: OpenVisual | None = None,
    pictures: Pictures | None = None,
    encoder: OpenEncoder | None = None,
) -> tuple[Facts, Scored]:
    """The tenant's live photos, best to keep first, and their scored pairs; writes nothing."""
    with catalog.tenant(tenant) as tx:
        facts = duplicates.by_rank(Facts.of(photo_facts.read(tx)), config)
    opened = nullcontext(None) if visual is None else visual(facts.keys)
    with opened as near:
        turning = encoder() if encoder is not None and near is not None else None
        found = duplicates.find(facts, config, visual=near, pictures=pictures, encoder=turning)
    return facts, found


def preview(tx: Transaction, config: DedupConfig, thresholds: Sequence[float]) -> list[Effect]:
    """What each threshold would suggest, from the pairs of the last scan; writes nothing.

    Thresholds under the floor of that scan show what is above the floor.
    """
    least = min(thresholds)
    rows = photo_facts.read(tx, paired_from=least)
    facts = duplicates.by_rank(Facts.of(rows), config)
    first, second, confidence, burst = stored.pairs(tx, least)
    a, b = _rows_of(facts, first), _rows_of(facts, second)
    known = (a >= 0) & (b >= 0)
    low, high = np.minimum(a, b)[known], np.maximum(a, b)[known]
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    confidence, burst = confidence[known][order], burst[known][order]
    decided, apart = _decisions(tx, facts)
    gone = decided | apart
    open_pairs = np.fromiter(
        (pair not in gone for pair in zip(low.tolist(), high.tolist(), strict=True)),
        np.bool_,
        len(low),
    )
    rank = np.arange(len(facts), dtype=np.int32)
    effects = []
    for threshold in thresholds:
        good = open_pairs & (confidence >= threshold)
        groups = layered(low[good], high[good], confidence[good], burst[good], rank, apart=apart)
        members = [row for star in groups for row in star.members]
        size = int(facts.size[members].sum()) if members else 0
        effects.append(Effect(threshold, len(groups), len(members), size))
    return effects


def _still_there(tx: Transaction, facts: Facts, found: Scored) -> Scored:
    """Without pairs of photos that were deleted or trashed since their facts were read."""
    keys = photo_facts.live_keys(tx)
    names = np.ascontiguousarray(facts.keys).view("S32").reshape(-1)
    there = np.isin(names, keys)
    return found.take(np.flatnonzero(there[found.first] & there[found.second]))


def _decisions(tx: Transaction, facts: Facts) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs of rows that were decided, and those that must stay apart, smaller row first."""
    listed = list(stored.decisions(tx))
    digests = [np.frombuffer(bytes.fromhex("".join(d[i] for d in listed)), "V32") for i in (0, 1)]
    first, second = (_rows_of(facts, d) for d in digests)
    decided: set[tuple[int, int]] = set()
    apart: set[tuple[int, int]] = set()
    for a, b, (_, _, what) in zip(first.tolist(), second.tolist(), listed, strict=True):
        if a >= 0 and b >= 0:
            (apart if what == "distinct" else decided).add((min(a, b), max(a, b)))
    return decided, apart


def _rows_of(facts: Facts, digests: NDArray[Any]) -> NDArray[np.int32]:
    """Rows of photos given by digest, -1 where there is none."""
    names = np.ascontiguousarray(facts.keys).view("S32").reshape(-1)
    if not len(names) or not len(digests):
        return np.full(len(digests), -1, np.int32)
    wanted = np.ascontiguousarray(digests).view("S32")
    order = np.argsort(names, kind="stable")
    at = np.minimum(np.searchsorted(names, wanted, sorter=order), len(names) - 1)
    rows = order[at]
    return np.where(names[rows] == wanted, rows, -1).astype(np.int32)


def _pair_rows(facts: Facts, found: Scored) -> Iterator[PairRow]:
    ids = facts.ids()
    for start in range(0, len(found), WORDS):
        part = found.take(np.arange(start, min(start + WORDS, len(found))))
        said = in_words(part.evidence)
        for i, words in enumerate(said):
            a, b = sorted((ids[part.first[i]], ids[part.second[i]]))
            yield PairRow(a, b, KINDS[part.kind[i]], float(part.confidence[i]), words)


def _group(facts: Facts, found: Scored, star: Star, config: DedupConfig) -> ScannedGroup:
    """The group is of the loosest kind among its members, and as sure as the least sure."""
    numbers = np.asarray(star.pairs)
    rows = np.asarray([star.keeper, *star.members])
    ids = facts.take(rows).ids()
    said = in_words(found.evidence.take(numbers))
    members = [ScannedMember(ids[0], "exact", 1.0, ("the one to keep",))]
    for photo_id, pair, words in zip(ids[1:], star.pairs, said, strict=True):
        confidence = float(found.confidence[pair])
        members.append(ScannedMember(photo_id, KINDS[found.kind[pair]], confidence, tuple(words)))
    return ScannedGroup(
        kind=KINDS[int(found.kind[numbers].max())],
        confidence=float(found.confidence[numbers].min()),
        keeper_id=ids[0],
        reason=keepers.reason(facts, star.keeper, star.members, config.keeper),
        reclaimable=int(facts.size[list(star.members)].sum()),
        members=tuple(members),
    )
