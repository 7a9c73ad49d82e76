"""Scenes: photos grouped by what they show, named by their tags, offered as albums."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.clustering import Agglomerative, Clusterer, Hdbscan, KMeans
from photoorg.curate.covers import mean_direction, medoid
from photoorg.curate.timeline import FIRST_YEAR
from photoorg.curation_config import ScenesConfig

SAMPLE = 2_000
MOST = 64
COPIES = 0.995
OVERLAP = 0.5
"""Albums that share this part of their photos (Jaccard) are the same idea."""
Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scene:
    """A group of photos: their rows, how alike each is to the whole, the row that stands for it.

    `cohesion` is the mean cosine of the rows to the scene's direction.
    """

    rows: Ints
    scores: Vectors
    cover: int
    cohesion: float


def find_scenes(x_nd: Vectors, config: ScenesConfig) -> list[Scene]:
    """Scenes of two or more among unit vectors [n, dim], largest first; other rows are left out."""
    if not len(x_nd):
        return []
    labels_n = clusterer(x_nd, config).fit(x_nd).labels_n
    groups = [np.flatnonzero(labels_n == label) for label in range(labels_n.max() + 1)]
    scenes = [_scene(x_nd, rows) for rows in groups if len(rows) > 1]
    return sorted(scenes, key=lambda s: (-len(s.rows), int(s.rows[0])))


def clusterer(x_nd: Vectors, config: ScenesConfig) -> Clusterer:
    """What the configuration asks for; with clusters: auto, k is chosen on a sample."""
    if config.method == "hdbscan":
        return Hdbscan(config.min_cluster_size, config.min_samples, device=config.device)
    if config.method == "kmeans":
        return _with_k(x_nd, config, lambda k: KMeans(k, device=config.device))
    return _with_k(x_nd, config, lambda k: Agglomerative(config.linkage, k=k, device=config.device))


def choose_k(x_nd: Vectors, make: Callable[[int], Clusterer]) -> int:
    """The k with the best mean silhouette (Rousseeuw, 1987) on a sample; 1 where nothing parts.

    Candidates grow by half from 2 to the square root of twice the rows, at most MOST.
    """
    from sklearn.metrics import silhouette_score

    sample = x_nd[np.linspace(0, len(x_nd) - 1, min(len(x_nd), SAMPLE)).astype(np.int64)]
    distinct = len(np.unique(sample, axis=0))
    best, chosen = 0.0, 1
    for k in _candidates(min(MOST, math.isqrt(2 * len(x_nd)) + 1, distinct - 1)):
        labels_n = make(k).fit(sample).labels_n
        if len(np.unique(labels_n)) < 2:
            continue
        score = float(silhouette_score(sample, labels_n))
        if score > best:
            best, chosen = score, k
    return chosen


def _candidates(most: int) -> Iterable[int]:
    k = 2
    while k <= most:
        yield k
        k = max(k + 1, int(k * 1.5))


def _with_k(x_nd: Vectors, config: ScenesConfig, make: Callable[[int], Clusterer]) -> Clusterer:
    return make(choose_k(x_nd, make) if config.clusters == "auto" else config.clusters)


def _scene(x_nd: Vectors, rows: Ints) -> Scene:
    scores = (x_nd[rows] @ mean_direction(x_nd[rows])).astype(np.float32)
    return Scene(rows, scores, int(rows[medoid(x_nd[rows])]), float(scores.mean()))


def name_scene(
    tags: Mapping[str, int], size: int, overall: Mapping[str, int], total: int
) -> str | None:
    """Up to two tags that say best what a scene is; None if no tag is on half of its photos.

    A tag weighs its share in the scene times how much more common it is there than in the
    library (the logarithm of the ratio), so that what is everywhere names nothing.
    """
    weighed = []
    for tag, count in tags.items():
        share = count / size
        usual = max(overall.get(tag, count), count) / max(total, size)
        if share >= 0.5:
            weighed.append((share * (0.05 + math.log(max(share / usual, 1.0))), tag))
    chosen = sorted(weighed, key=lambda pair: (-pair[0], pair[1]))[:2]
    return ", ".join(tag for _, tag in chosen) or None


def name_by_time(times: Sequence[datetime | None], latest: datetime | None = None) -> str | None:
    """The months most of the photos were taken in, such as "May 2024" or "May to July 2024".

    Clocks before 1990 or after `latest` (None: now) are not believed.
    """
    latest = latest or datetime.now(UTC)
    known = sorted(t for t in times if t is not None and FIRST_YEAR <= t.year <= latest.year)
    if not known or 2 * len(known) < len(times):
        return None
    middle = known[len(known) // 20 : len(known) - len(known) // 20]
    first, last = middle[0], middle[-1]
    if (first.year, first.month) == (last.year, last.month):
        return f"{first:%B %Y}"
    if first.year == last.year:
        return f"{first:%B} to {last:%B %Y}"
    return f"{first.year} to {last.year}"


def unique_names(names: Iterable[str]) -> list[str]:
    """The names, repeated ones numbered from the second on."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return made


def worth_offering(
    photos: Set[str], others: Iterable[Set[str]], config: ScenesConfig, cohesion: float = 0.0
) -> bool:
    """Whether a scene makes an album: large enough, and not what is there or was refused.

    Photos as alike as copies (black frames, one scan many times) are no album either.
    """
    if len(photos) < config.album_photos or cohesion > COPIES:
        return False
    return all(_jaccard(photos, other) < OVERLAP for other in others)


def _jaccard(one: Set[str], two: Set[str]) -> float:
    common = len(one & two)
    return common / max(1, len(one) + len(two) - common)
