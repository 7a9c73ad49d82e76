"""Fusion of what vectors and words found: reciprocal ranks, or weighted scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from photoorg.config import SearchConfig
from photoorg.models import Hit, Photo
from photoorg.search.reasons import explain, explain_words
from photoorg.search.rerank import fold, near_duplicates
from photoorg.search.signals import Pool, QueryFacts, combine, demote, measure
from photoorg.search.text import Words

RRF_K = 60
"""Cormack, Clarke & Buettcher, SIGIR 2009."""


def fuse(
    pool: Pool,
    words: Words,
    photos: Mapping[str, Photo],
    config: SearchConfig,
    *,
    facts: QueryFacts | None = None,
    least: float = -2.0,
) -> tuple[Hit, ...]:
    """All that vectors (`pool`) and words found, best first, near-duplicates folded.

    `Hit.score` is 1 for what both have at their top: by ranks the sum of weight / (60 + rank), by
    weights the sum of weight x score over the best score. Poor photos are moved down in both lists.
    What vectors found counts from the re-ranker's score `least` on, which `relevance` tells.
    """
    signals = measure(facts or QueryFacts(), pool)
    scores = combine(signals, config)
    order = sorted(
        np.flatnonzero(scores >= least).tolist(),
        key=lambda i: (-scores[i], pool.photos[i].photo_id),
    )
    folded = fold(order, near_duplicates(pool, config) if len(order) else {})
    seen = {
        pool.photos[i].photo_id: (float(scores[i]), i, [pool.photos[j].photo_id for j in under])
        for i, under in folded.items()
    }
    hidden = {photo_id for _, _, under in seen.values() for photo_id in under}
    said = {
        photo_id: score * demote(photos[photo_id].quality, config)
        for photo_id, score in zip(words.ids, words.scores, strict=True)
        if photo_id in photos and photo_id not in hidden
    }
    by_words = sorted(said, key=lambda i: -said[i])
    parts = [
        (config.vector_weight, {i: score for i, (score, _, _) in seen.items()}, list(seen)),
        (config.text_weight, said, by_words),
    ]
    total: dict[str, float] = {}
    for weight, value, ranked in parts:
        for photo_id, share in _shares(value, ranked, config).items():
            total[photo_id] = total.get(photo_id, 0.0) + weight * share
    full = sum(weight for weight, _, ranked in parts if ranked) or 1.0
    known = signals.of(range(len(pool.photos)))
    hits = []
    for photo_id in sorted(total, key=lambda i: (-total[i], i)):
        photo = photos.get(photo_id)
        if photo is None:
            continue
        found = seen.get(photo_id)
        reasons: tuple[str, ...] = ()
        signal: dict[str, float] = {}
        if photo_id in said:
            reasons += explain_words(words.matched.get(photo_id, ()))
            signal["text"] = round(said[photo_id], 4)
        if found is not None:
            signal |= known[found[1]] | {"relevance": round(found[0], 6)}
            reasons += explain(known[found[1]], config, pool.view(found[1]))
        hits.append(
            Hit(
                photo_id=photo_id,
                score=round(total[photo_id] / full, 6),
                uri=photo.uri,
                signals=signal,
                reasons=reasons,
                folded=tuple(found[2]) if found is not None else (),
                view=pool.view(found[1]) if found is not None else "",
            )
        )
    return tuple(hits)


def _shares(
    value: Mapping[str, float], ranked: Sequence[str], config: SearchConfig
) -> dict[str, float]:
    """What one list gives each photo, 1 for its first."""
    if config.fusion == "rrf":
        return {i: (RRF_K + 1) / (RRF_K + 1 + place) for place, i in enumerate(ranked)}
    top = max((abs(value[i]) for i in ranked), default=0.0) or 1.0
    return {i: max(0.0, value[i] / top) for i in ranked}
