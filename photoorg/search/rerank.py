"""From candidates to ranked hits: score, fold near-duplicates, spread the rest (MMR)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from photoorg.config import SearchConfig
from photoorg.models import Hit
from photoorg.search.reasons import explain
from photoorg.search.signals import Floats, Pool, QueryFacts, combine, measure


def rank(
    query: QueryFacts, pool: Pool, k: int, config: SearchConfig, *, least: float = -2.0
) -> tuple[Hit, ...]:
    """The k best hits of at least that score, diverse, near-duplicates of a hit folded under it.

    Equal inputs give equal output whatever the order of the pool: ties go to the smaller photo id.
    `Hit.score` is relevance in -1..1; the order also counts diversity (maximal marginal relevance,
    Carbonell & Goldstein 1998), so scores may rise slightly from one hit to the next.
    """
    if not pool.photos:
        return ()
    pool = pool.by_id()
    signals = measure(query, pool)
    scores = combine(signals, config)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= least].tolist()
    if not order:
        return ()
    folded = fold(order, near_duplicates(pool, config))
    chosen = spread(list(folded), scores, pool.alike, k, config)
    hits = []
    for i, known in zip(chosen, signals.of(chosen), strict=True):
        photo = pool.photos[i]
        hits.append(
            Hit(
                photo_id=photo.photo_id,
                score=round(float(scores[i]), 6),
                uri=photo.uri,
                signals=known,
                reasons=explain(known, config, pool.view(i)),
                folded=tuple(pool.photos[j].photo_id for j in folded[i]),
                view=pool.view(i),
            )
        )
    return tuple(hits)


def near_duplicates(pool: Pool, config: SearchConfig) -> dict[int, set[int]]:
    """Pairs that PDQ calls equal, with hashes that can be trusted and cosines that confirm."""
    usable = np.flatnonzero(pool.facts["trusted"])
    if len(usable) < 2:
        return {}
    alike = pool.alike if len(usable) == len(pool.photos) else pool.alike[np.ix_(usable, usable)]
    first, second = np.nonzero(alike >= config.fold_cosine)
    first, second = usable[first[first < second]], usable[second[first < second]]
    bits = pool.facts["pdq"]
    apart = np.bitwise_count(bits[first] ^ bits[second]).sum(axis=1, dtype=np.int32)
    equal = apart <= config.fold_pdq_bits
    pairs: dict[int, set[int]] = {}
    for i, j in zip(first[equal].tolist(), second[equal].tolist(), strict=True):
        pairs.setdefault(i, set()).add(j)
        pairs.setdefault(j, set()).add(i)
    return pairs


def fold(order: Sequence[int], duplicates: Mapping[int, Set[int]]) -> dict[int, list[int]]:
    """Keepers in order, each with those of lower rank that it stands for.

    Not transitive: everything folded is a near-duplicate of its keeper itself.
    """
    kept: dict[int, list[int]] = {}
    for i in order:
        keepers = [j for j in duplicates.get(i, ()) if j in kept]
        if keepers:
            kept[min(keepers, key=order.index)].append(i)
        else:
            kept[i] = []
    return kept


def spread(
    order: Sequence[int],
    scores: Floats,
    alike_nn: NDArray[np.float32],
    k: int,
    config: SearchConfig,
) -> list[int]:
    """K of `order` by lambda * score - (1 - lambda) * cosine to the nearest chosen before.

    `alike_nn` holds the cosines between candidates. Only the first `config.candidates` compete;
    what comes after them stays in order of score.
    """
    lam = config.mmr_lambda
    if lam == 1.0:
        return list(order[:k])
    head, tail = list(order[: config.candidates]), list(order[config.candidates :])
    worth = lam * scores[head]
    near_mm = alike_nn[np.ix_(head, head)] * np.float32(1 - lam)
    nearest = np.zeros(len(head), np.float32)
    taken: list[int] = []
    for _ in range(min(k, len(head))):
        best = int((worth - nearest).argmax())
        taken.append(head[best])
        worth[best] = -np.inf
        np.maximum(nearest, near_mm[best], out=nearest)
    return [*taken, *tail][:k]
