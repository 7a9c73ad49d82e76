"""Two versions put to the same questions: what a cutover would change, and whether it may be made.

Live queries that were sampled (dual reads) count as well as photos of the library asked for here.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curation_config import GatesConfig
from photoorg.errors import ConflictError, IndexNotReadyError, InputError
from photoorg.models import IndexVersion
from photoorg.search.dual import overlap, rank_correlation, score_drift
from photoorg.search.live import LiveShards, load_shards
from photoorg.search.local import CACHE
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, comparisons, delta, indexes, originals, spaces, trash
from photoorg.store.catalog.comparisons import DualRead
from photoorg.store.objects import ObjectStore

K = 10
MeanAveragePrecision = Callable[[NDArray[np.float32], Sequence[str]], float]
"""mAP@10 of vectors [n, dim] under their labels (photoorg.evaluate.retrieval.score)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of the configuration: what was reached, and the limit."""

    name: str
    value: float
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a version (`candidate`) fares against the one that serves.

    Means over `queries` queries: overlap@k 0..1, Spearman's rho over the common photos, absolute
    drift of the scores at equal rank. Medians of the search times in ms. `coverage` is the share of
    the photos the serving version holds that the candidate holds too. `maps` is mAP@10 of both on a
    golden set, None without one.
    """

    candidate: str
    candidate_space: str
    serving: str
    serving_space: str
    k: int
    queries: int
    live_queries: int
    overlap: float
    rank_correlation: float | None
    score_drift: float
    latency_ms: tuple[float, float]
    coverage: float
    maps: tuple[float, float] | None
    gates: tuple[Gate, ...] = ()
    overlaps: tuple[float, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Whether every gate was."""
        return all(gate.passed for gate in self.gates)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return {**asdict(self), "passed": self.passed}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Comparison:
        """Inverse of to_dict, also after a way through JSON."""
        fields = {f: data[f] for f in cls.__slots__}
        fields["gates"] = tuple(Gate(**gate) for gate in fields["gates"])
        for name in ("latency_ms", "overlaps", "maps"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(**fields)


class Comparer:
    """Opens both versions beside whatever serves, and asks them the same."""

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog) -> None:
        self._config = config
        self._store = store
        self._catalog = catalog

    def compare(
        self,
        candidate: IndexVersion,
        *,
        queries: int = 200,
        seed: int = 0,
        golden: Mapping[str, str] | None = None,
        average_precision: MeanAveragePrecision | None = None,
    ) -> Comparison:
        """Compare with the version that serves, keep the verdict, and return it.

        `golden` are labels by photo id: `average_precision` is taken of the vectors of those photos
        in either space. IndexNotReadyError where nothing serves, ConflictError for a version that
        serves itself or is not whole, InputError where `golden` names no photos that both hold.
        """
        with self._catalog.tenant(self._config.tenant) as tx:
            default = spaces.get_default(tx, "image")
            active = indexes.active(tx, default.id) if default is not None else None
            if active is None or default is None:
                raise IndexNotReadyError(
                    "No version serves yet, so there is nothing to compare with.",
                    fix="Build one: `photoorg index build`.",
                )
            if active[0].version == candidate.version:
                raise ConflictError(
                    f"Version {candidate.version} serves already.",
                    fix="Name another one of `photoorg index list`.",
                )
            if candidate.status in ("building", "deleted"):
                raise ConflictError(
                    f"Index version {candidate.version!r} is {candidate.status}: there is nothing "
                    "to compare.",
                    fix="Choose one that is shadow or deprecated (`photoorg index list`).",
                )
            found = indexes.get(tx, candidate.space_id, candidate.version)
            space = spaces.get(tx, candidate.space_id)
            reads = comparisons.noted(tx, candidate.space_id, candidate.version)
            ids = [photo_id for photo_id, _ in originals.live(tx)]
        assert found is not None and space is not None, "the version was listed"
        old, new = self._open(active, default), self._open(found, space)
        asked = _ask(old, new, _drawn(ids, queries, seed), default.id, space.id, candidate.version)
        both = [*asked, *reads]
        maps = None
        if golden is not None and average_precision is not None:
            maps = _maps(old, new, golden, average_precision)
        result = _summed(both, candidate, active[0], len(reads), _coverage(old, new, ids), maps)
        gates = gates_of(result, self._config.migration.gates)
        result = Comparison(**{f: getattr(result, f) for f in _FIELDS}, gates=gates)
        with self._catalog.tenant(self._config.tenant) as tx:
            comparisons.put(
                tx,
                candidate.space_id,
                candidate.version,
                passed=result.passed,
                report=result.to_dict(),
            )
        return result

    def _open(self, version: tuple[IndexVersion, int], space: EmbeddingSpace) -> LiveShards:
        with self._catalog.tenant(self._config.tenant) as tx:
            hidden = trash.ids(tx)
        cache = Path(self._config.serve.cache_dir or CACHE).expanduser()
        shards = load_shards(
            space,
            version,
            self._store,
            cache,
            slot=0,
            slots=1,
            config=self._config.index,
            hidden=hidden,
        )
        with self._catalog.tenant(self._config.tenant) as tx:
            for events in delta.runs(tx, space.id, shards.seq):
                shards.apply(events)
        return shards


def gates_of(found: Comparison, limits: GatesConfig) -> tuple[Gate, ...]:
    """What the configuration asks for, each with what was reached."""
    old_ms, new_ms = found.latency_ms
    ratio = new_ms / old_ms if old_ms > 0 else 1.0
    rho = 1.0 if found.rank_correlation is None else found.rank_correlation
    least = [
        ("queries", float(found.queries), float(limits.min_queries)),
        ("overlap", found.overlap, limits.min_overlap),
        ("rank_correlation", rho, limits.min_rank_correlation),
        ("coverage", found.coverage, limits.min_coverage),
    ]
    most = [
        ("score_drift", found.score_drift, limits.max_score_drift),
        ("latency_ratio", ratio, limits.max_latency_ratio),
    ]
    if found.maps is not None:
        most.append(("map_drop", found.maps[0] - found.maps[1], limits.max_map_drop))
    return (
        *(Gate(n, round(v, 4), limit, v >= limit) for n, v, limit in least),
        *(Gate(n, round(v, 4), limit, v <= limit) for n, v, limit in most),
    )


_FIELDS = tuple(f for f in Comparison.__slots__ if f != "gates")


def _ask(
    old: LiveShards,
    new: LiveShards,
    ids: Sequence[str],
    live_space: str,
    space_id: str,
    version: str,
) -> list[DualRead]:
    reads = []
    for photo_id in ids:
        mine, theirs = old.vector(photo_id), new.vector(photo_id)
        if mine is None or theirs is None:
            continue
        (a, a_scores, a_ms), (b, b_scores, b_ms) = (
            _nearest(shards, x_d, photo_id) for shards, x_d in ((old, mine), (new, theirs))
        )
        reads.append(
            DualRead(
                live_space,
                space_id,
                version,
                photo_id,
                K,
                overlap(a, b, K),
                rank_correlation(a, b),
                score_drift(a_scores, b_scores),
                a_ms,
                b_ms,
            )
        )
    return reads


def _nearest(
    shards: LiveShards, x_d: NDArray[np.float32], itself: str
) -> tuple[list[str], NDArray[np.float32], float]:
    asked = time.perf_counter()
    answer = shards.search(x_d[None], K + 1, K + 1)[0]
    took_ms = (time.perf_counter() - asked) * 1000
    rows = [i for i, photo_id in enumerate(answer.ids) if photo_id != itself][:K]
    return [answer.ids[i] for i in rows], answer.scores[rows], took_ms


def _summed(
    reads: Sequence[DualRead],
    candidate: IndexVersion,
    serving: IndexVersion,
    live: int,
    coverage: float,
    maps: tuple[float, float] | None,
) -> Comparison:
    rhos = [r.rank_correlation for r in reads if r.rank_correlation is not None]
    drifts = [abs(r.score_drift) for r in reads if r.score_drift is not None]
    return Comparison(
        candidate=candidate.version,
        candidate_space=candidate.space_id,
        serving=serving.version,
        serving_space=serving.space_id,
        k=K,
        queries=len(reads),
        live_queries=live,
        overlap=round(float(np.mean([r.overlap for r in reads])), 4) if reads else 0.0,
        rank_correlation=round(float(np.mean(rhos)), 4) if rhos else None,
        score_drift=round(float(np.mean(drifts)), 4) if drifts else 0.0,
        latency_ms=(
            _median([r.live_ms for r in reads]),
            _median([r.shadow_ms for r in reads]),
        ),
        coverage=round(coverage, 4),
        maps=maps,
        overlaps=tuple(round(r.overlap, 4) for r in reads),
    )


def _coverage(old: LiveShards, new: LiveShards, ids: Sequence[str]) -> float:
    held = [i for i in ids if old.vector(i) is not None]
    return sum(new.vector(i) is not None for i in held) / len(held) if held else 1.0


def _maps(
    old: LiveShards, new: LiveShards, golden: Mapping[str, str], score: MeanAveragePrecision
) -> tuple[float, float]:
    pairs = [(old.vector(i), new.vector(i), label) for i, label in golden.items()]
    there = [(a, b, label) for a, b, label in pairs if a is not None and b is not None]
    if not there:
        raise InputError(
            "None of the photos of the golden set is in both versions.",
            fix="Its lines are PHOTO_ID,LABEL.",
        )
    labels = [label for _, _, label in there]
    before, after = (np.stack([row[n] for row in there]) for n in (0, 1))
    return round(score(before, labels), 4), round(score(after, labels), 4)


def _drawn(ids: Sequence[str], count: int, seed: int) -> list[str]:
    return random.Random(seed).sample(list(ids), min(count, len(ids)))


def _median(values: Sequence[float]) -> float:
    return round(float(np.median(values)), 4) if values else 0.0
