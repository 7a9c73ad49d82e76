"""Strangers planted in made-up libraries: found, missed, and how many others are shown for them.

python -m benchmarks.anomalies --json [--seeds 6]

Libraries of 40, 280 and 2,000 photos in 256 dimensions of falling variance: `events` of log-normal
sizes about motifs; `bursts` of near-copies beside single shots; `one` tight group; `two` groups,
one six times as wide; `small` events of 3 to 8 photos. Strangers are drawn from the distribution
that motifs are drawn from, each of its own: 2% or 5% of the photos, or none. Beside photoorg's
queue: the local outlier factor as scikit-learn shows it (contamination: auto), of the same
neighbours. The seeds are not those that the constants of photoorg.curate.anomalies were chosen on
(0 to 15).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import finish, print_table
from photoorg.curate.anomalies import measure, neighbours, queue
from photoorg.curate.anomaly_review import NEIGHBOURS

DIM = 256
KINDS = ("events", "bursts", "one", "two", "small")
SIZES = (40, 280, 2_000)
SHARES = (0.0, 0.02, 0.05)
FIRST_SEED = 100
Matrix = NDArray[np.float64]


def main() -> None:
    options = _options()
    tallies: dict[tuple[str, str], dict[str, list[float]]] = {}
    for kind in KINDS:
        for photos in SIZES:
            for share in SHARES:
                for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
                    for method, found in _tried(kind, photos, share, seed).items():
                        for name in (kind, str(photos), "all"):
                            tally = tallies.setdefault((method, name), {})
                            for key, value in found.items():
                                tally.setdefault(key, []).append(value)
    result: dict[str, Any] = {}
    for (method, name), tally in tallies.items():
        for key in ("auc", "precision", "recall", "shown_of_clean"):
            if key in tally:
                result[f"{method}_{name}_{key}"] = float(np.mean(tally[key]))
    print_table("anomalies", list(result.items()))
    finish("anomalies", result)


def _tried(kind: str, photos: int, share: float, seed: int) -> dict[str, dict[str, float]]:
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import LocalOutlierFactor

    x, strange_n = _library(kind, photos, round(share * photos), seed)
    found = measure(*neighbours(x, NEIGHBOURS))
    shown_n = np.zeros(len(x), bool)
    shown_n[queue(found, len(x))] = True
    peer = LocalOutlierFactor(n_neighbors=NEIGHBOURS)
    peer_n = peer.fit_predict(x) < 0
    answers = {
        "photoorg": (found.score_n, shown_n),
        "lof": (-peer.negative_outlier_factor_, peer_n),
    }
    told: dict[str, dict[str, float]] = {}
    for method, (score_n, chosen_n) in answers.items():
        if not strange_n.any():
            told[method] = {"shown_of_clean": float(chosen_n.mean())}
            continue
        hits = float((chosen_n & strange_n).sum())
        told[method] = {
            "auc": float(roc_auc_score(strange_n, score_n)),
            "recall": hits / float(strange_n.sum()),
        }
        if chosen_n.any():
            told[method]["precision"] = hits / float(chosen_n.sum())
    return told


def _library(
    kind: str, n: int, strangers: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    draw = np.random.default_rng([seed, 0])
    rotation, _ = np.linalg.qr(draw.standard_normal((DIM, DIM)))
    basis = (rotation * (1.0 + np.arange(DIM)) ** -0.5).T

    def some(count: int) -> Matrix:
        return np.asarray(draw.standard_normal((count, DIM)) @ basis)

    x = np.concatenate([_photos(kind, n, some, draw), some(strangers)])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.arange(n + strangers) >= n


def _photos(kind: str, n: int, some: Any, draw: np.random.Generator) -> Matrix:
    if kind == "events":
        motifs, count = some(max(3, n // 200)), max(4, n // 30)
        events = 0.7 * motifs[draw.integers(0, len(motifs), count)] + 0.7 * some(count)
        sizes = draw.lognormal(0, 1, count)
        event_n = draw.choice(count, n, p=sizes / sizes.sum())
        fine_n = draw.uniform(0.1, 0.5, count)[event_n, None]
        return np.asarray(np.sqrt(1 - fine_n) * events[event_n] + np.sqrt(fine_n) * some(n))
    if kind == "bursts":
        motifs = some(max(3, n // 100))
        shots = 0.8 * motifs[draw.integers(0, len(motifs), n)] + 0.6 * some(n)
        in_burst = draw.random(n) < 0.7
        shot_n = np.where(in_burst, draw.integers(0, max(1, n // 7), n), np.arange(n))
        return np.asarray(shots[shot_n] + 0.05 * some(n))
    if kind == "one":
        return np.asarray(some(1) + 0.5 * some(n))
    if kind == "two":
        wide_n = np.arange(n) >= n // 2
        return np.asarray(
            some(2)[wide_n.astype(int)] + np.where(wide_n, 0.6, 0.1)[:, None] * some(n)
        )
    event_n = np.repeat(np.arange(n), draw.integers(3, 9, n))[:n]
    return np.asarray(0.85 * some(int(event_n.max()) + 1)[event_n] + 0.5 * some(n))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anomalies", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--seeds", type=int, default=6, help="libraries of each kind and size")
    return parser.parse_args()


if __name__ == "__main__":
    main()
