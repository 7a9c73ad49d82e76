"""Finding duplicates: candidates, evidence, a look at the pictures where needed, one confidence."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

import numpy as np

from photoorg.curate import keepers
from photoorg.curate.alignment import TELLING
from photoorg.curate.candidates import near_pairs
from photoorg.curate.facts import Facts
from photoorg.curate.grouping import Star, layered
from photoorg.curate.looking import THREADS, Looker, Pictures, sure
from photoorg.curate.scoring import BURST, Rows, Scored, Visual, score_pairs, surest
from photoorg.curate.shared_parts import shared_parts
from photoorg.curate.turns import BOTH_WAYS, turned
from photoorg.curate.widening import Wider, second_hop, turned_neighbours
from photoorg.curation_config import DedupConfig
from photoorg.encoders.base import Encoder

HOPS = 2
"""Partners of partners, and theirs."""
LIKELY = 0.5
"""Confidence from which on a pair is looked at though its features share nothing."""


def by_rank(facts: Facts, config: DedupConfig) -> Facts:
    """The photos with those first that would be kept before others."""
    return facts.take(np.argsort(keepers.ranks(facts, config.keeper), kind="stable"))


def find(
    facts: Facts,
    config: DedupConfig,
    *,
    visual: Visual | None = None,
    pictures: Pictures | None = None,
    encoder: Encoder | None = None,
) -> Scored:
    """Score every candidate pair; those below config.floor are dropped.

    `facts` come from by_rank, so that of many equal photos the one to keep is the first. `encoder`
    is the one whose vectors `visual` holds: with it and pictures, photos without partners are also
    looked for turned. Memory grows with the photos and the pairs kept, never with the square of
    anything.
    """
    first, second, saturated = _candidates(facts, config, visual)
    found = score_pairs(facts, first, second, config, visual)
    looked = 0
    if pictures is not None and config.looks:
        looker = Looker(facts, pictures, config)
        found, told = _compared(facts, found, config, looker, visual)
        found = _widened(facts, found, config, looker, visual, pictures, encoder, told)
        looked = looker.looked
    keep = np.flatnonzero(found.confidence >= config.floor)
    return replace(found.take(keep), candidates=len(found), looked=looked, saturated=saturated)


def group(
    scored: Scored,
    threshold: float,
    *,
    decided: Set[tuple[int, int]] = frozenset(),
    apart: Set[tuple[int, int]] = frozenset(),
) -> list[Star]:
    """Groups at a threshold, duplicates before bursts.

    `decided` pairs of rows no longer join photos by themselves; two photos that are `apart` never
    share a group. Star.pairs are places in `scored`.
    """
    good = scored.confidence >= threshold
    if decided or apart:
        known = decided | apart
        pairs = zip(scored.first.tolist(), scored.second.tolist(), strict=True)
        good &= ~np.fromiter((pair in known for pair in pairs), np.bool_, len(scored))
    places = np.flatnonzero(good)
    rank = np.arange(int(scored.second.max(initial=0)) + 1, dtype=np.int32)
    found = layered(
        scored.first[places],
        scored.second[places],
        scored.confidence[places],
        scored.kind[places] == BURST,
        rank,
        apart=apart,
    )
    return [replace(s, pairs=tuple(int(places[p]) for p in s.pairs)) for s in found]


def _candidates(facts: Facts, config: DedupConfig, visual: Visual | None) -> tuple[Rows, Rows, int]:
    """Pairs by either hash, by a turned hash where there are few enough photos, by embedding."""
    rows = np.flatnonzero(facts.hashed).astype(np.int32)
    pdq, phash = facts.pdq[rows], facts.phash[rows]
    found = [
        near_pairs(pdq, config.pdq_bits, per_row=config.per_photo),
        near_pairs(phash, config.phash_bits, per_row=config.per_photo),
    ]
    if len(rows) <= config.turned_up_to:
        found += [
            near_pairs(pdq, config.pdq_bits, per_row=config.per_photo, others=turned(pdq, turn))
            for turn in BOTH_WAYS
        ]
    n = len(facts)
    codes = [rows[p.first].astype(np.int64) * n + rows[p.second] for p in found]
    if visual is not None and config.neighbours:
        a, b = visual.pairs(config.neighbours, config.least_cosine)
        codes.append(a.astype(np.int64) * n + b)
    once = np.unique(np.concatenate(codes))
    first, second = once // max(n, 1), once % max(n, 1)
    saturated = max(p.saturated for p in found)
    return first.astype(np.int32), second.astype(np.int32), saturated


def _compared(
    facts: Facts, found: Scored, config: DedupConfig, looker: Looker, visual: Visual | None
) -> tuple[Scored, Rows]:
    """The candidates and photos that share parts, looked at, and which photos were asked for parts.

    Of pictures that hashes leave no doubt about, only the first is asked. A pair of which both were
    asked is looked at if they share something or their hashes or vectors make it likely.
    """
    copies = np.zeros(len(facts), np.bool_)
    copies[found.second[sure(found.evidence)]] = True
    alone = np.flatnonzero(~copies)
    newest = alone[np.lexsort((alone, -facts.added[alone]))][: config.parts_up_to]
    rows = np.sort(newest).astype(np.int32)
    shared = shared_parts(rows, looker.features, telling=TELLING, threads=THREADS)
    found = surest(found, score_pairs(facts, shared.first, shared.second, config, visual))
    asked = np.zeros(len(facts), np.bool_)
    asked[shared.asked] = True
    n = max(len(facts), 1)
    sharing = np.isin(
        found.first.astype(np.int64) * n + found.second,
        shared.first.astype(np.int64) * n + shared.second,
    )
    vain = asked[found.first] & asked[found.second] & ~sharing & (found.confidence < LIKELY)
    return looker.look(found, vain=vain), shared.asked


def _widened(
    facts: Facts,
    found: Scored,
    config: DedupConfig,
    looker: Looker,
    visual: Visual | None,
    pictures: Pictures,
    encoder: Encoder | None,
    told: Rows,
) -> Scored:
    """With the candidates that only show once a picture is turned, or through a third photo."""

    def looked_at(wider: Wider) -> Scored:
        scored = score_pairs(
            facts,
            wider.first,
            wider.second,
            config,
            visual,
            turn=wider.turn,
            cosine=wider.cosine,
        )
        return looker.look(scored)

    if visual is not None and encoder is not None and config.turned_views:
        wider = turned_neighbours(facts, found, config, visual, pictures, encoder, told=told)
        found = surest(found, looked_at(wider))
    for _ in range(HOPS):
        wider = second_hop(found, config, most=max(0, config.looks - looker.looked))
        if not len(wider.first):
            break
        found = surest(found, looked_at(wider))
    return found
