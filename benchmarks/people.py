"""Faces into persons: quality beside scikit-learn's DBSCAN and agglomerative clustering.

Made-up embeddings (a direction per person, log-normal sizes, strangers among them) at several
difficulties, one person with 5,000 faces, and labelled photos where a folder is given. Peers get
the same thresholds. Also how far placing new faces agrees with clustering all of them again. With
--scale only: seconds and peak memory for N faces of 512 dimensions, a tenth of them one person's,
beside hdbscan and scikit-learn's HDBSCAN of all pairs at PEER_ROWS, each in a process of its own.

    python -m benchmarks.people --json [--faces DIR --models DIR]
    python -m benchmarks.people --json --scale 50000
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import finish, print_table
from photoorg.config import EncoderConfig, FacesConfig, ImagingConfig
from photoorg.curate.assignment import ClusterModel
from photoorg.curate.clustering import Agglomerative, Dbscan, euclidean
from photoorg.curate.constraints import NOBODY, Constraints
from photoorg.curate.persons import FaceSet, place, regroup
from photoorg.curation_config import PeopleConfig
from photoorg.evaluate.clustering import scores

DIM = 128
SCALE_DIM = 512
PEER_ROWS = 8_000
MIB = 1024.0
Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]


def unit(x_nd: NDArray[Any]) -> Vectors:
    return np.asarray(x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True), np.float32)


def made_up(
    sizes: NDArray[np.int64],
    within: tuple[float, float],
    strangers: int,
    seed: int = 0,
    dim: int = DIM,
):
    """Faces of persons whose mean pairwise cosine is drawn from `within`, and strangers."""
    draw = np.random.default_rng(seed)
    x, labels = [], []
    for person, size in enumerate(sizes.tolist()):
        near = draw.uniform(*within)
        centre = unit(draw.standard_normal((1, dim)))
        noise = unit(draw.standard_normal((size, dim)))
        x.append(np.sqrt(near) * centre + np.sqrt(1 - near) * noise)
        labels += [person] * size
    x.append(draw.standard_normal((strangers, dim)))
    labels += range(len(sizes), len(sizes) + strangers)
    return unit(np.concatenate(x)), np.array(labels, np.int64)


def ours(x_nd: Vectors, quality_n: Vectors) -> Labels:
    count = len(x_nd)
    faces = FaceSet(x_nd, quality_n, np.arange(count), np.full(count, NOBODY))
    return regroup(faces, Constraints(), PeopleConfig(device="cpu")).person_n


METHODS: dict[str, Callable[[Vectors, Vectors], Labels]] = {
    "photoorg": ours,
    "DBSCAN": lambda x, q: Dbscan(euclidean(0.5), 3, "cpu").fit(x).labels_n,
    "agglomerative average": lambda x, q: (
        Agglomerative("average", distance=euclidean(0.35), device="cpu").fit(x).labels_n
    ),
    "agglomerative complete": lambda x, q: (
        Agglomerative("complete", distance=euclidean(0.35), device="cpu").fit(x).labels_n
    ),
}


def measured(
    method: Callable[[Vectors, Vectors], Labels], x_nd: Vectors, quality_n: Vectors, labels: Any
) -> dict[str, float]:
    started = time.perf_counter()
    found = method(x_nd, quality_n)
    seconds = time.perf_counter() - started
    predicted = [None if p == -1 else int(p) for p in found.tolist()]
    scored = scores(list(labels), predicted)
    return {
        "nmi": scored.nmi,
        "purity": scored.purity,
        "pairwise_f1": scored.pairwise_f1,
        "seconds": seconds,
    }


def agreement(x_nd: Vectors, share: float = 0.8) -> float:
    """Pairwise F1 between clustering all faces and placing the last fifth into clusters."""
    count = len(x_nd)
    order = np.random.default_rng(1).permutation(count)
    x_nd = x_nd[order]
    old = int(count * share)
    config = PeopleConfig(device="cpu")
    quality_n = np.full(count, 0.8, np.float32)
    whole = ours(x_nd, quality_n)
    first = FaceSet(x_nd[:old], quality_n[:old], np.arange(old), np.full(old, NOBODY))
    base = regroup(first, Constraints(), config)
    built = ~np.isnan(base.core_n) & (base.cluster_n >= 0)
    persons_k = np.array([-2 - c.person for c in base.clusters], np.int64)
    model = ClusterModel(
        x_nd[:old][built],
        base.cluster_n[built],
        base.core_n[built],
        np.stack([c.centroid for c in base.clusters]),
        np.array([c.radius for c in base.clusters]),
        config.min_samples,
    )
    before = np.full(count, NOBODY)
    before[:old] = np.where(base.person_n == NOBODY, NOBODY, -2 - base.person_n)
    faces = FaceSet(x_nd, quality_n, np.arange(count), before)
    placed = place(faces, Constraints(), model, persons_k, config).person_n
    names = [None if p == NOBODY else int(p) for p in placed.tolist()]
    return scores(
        [int(p) if p != NOBODY else -9 - i for i, p in enumerate(whole)], names
    ).pairwise_f1


def crowd(count: int) -> tuple[Vectors, Labels]:
    """Faces of log-normal many persons, a tenth of one person's, a fifth of strangers'."""
    draw = np.random.default_rng(5)
    sizes = [count // 10]
    while sum(sizes) < count * 4 // 5:
        sizes.append(int(min(count // 20, max(1, draw.lognormal(2.2, 1.3)))))
    sizes[-1] -= sum(sizes) - count * 4 // 5
    left = count - count * 4 // 5
    return made_up(np.array(sizes), (0.4, 0.7), left, seed=6, dim=SCALE_DIM)


def _hdbscan(x_nd: Vectors, quality_n: Vectors) -> Labels:
    from hdbscan import HDBSCAN

    model = HDBSCAN(3, min_samples=2, cluster_selection_epsilon=1.0, algorithm="generic")
    return np.asarray(model.fit(x_nd.astype(np.float64)).labels_, np.int64)


def _scikit_learn(x_nd: Vectors, quality_n: Vectors) -> Labels:
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=3, min_samples=3, cluster_selection_epsilon=1.0, algorithm="brute"
    )
    return np.asarray(model.fit_predict(x_nd.astype(np.float64)), np.int64)


SCALED = {"photoorg": ours, "hdbscan": _hdbscan, "scikit-learn": _scikit_learn}


def scaled(name: str, count: int) -> dict[str, float]:
    """One method over a crowd: scores, seconds of processor and clock, peak memory in MiB."""
    x_nd, labels = crowd(count)
    quality_n = np.full(count, 0.8, np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time()
    found = measured(SCALED[name], x_nd, quality_n, labels.tolist())
    found["cpu_seconds"] = time.process_time() - cpu
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
    found["before_mib"] = before / MIB
    found["faces"] = count
    return found


def scale(count: int) -> None:
    data: dict[str, Any] = {}
    runs = [("photoorg", count), ("photoorg", PEER_ROWS)]
    runs += [("hdbscan", PEER_ROWS), ("scikit-learn", PEER_ROWS)]
    for name, rows in runs:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            found = alone.submit(scaled, name, rows).result()
        data[f"{name} / {rows}"] = {k: round(v, 4) for k, v in found.items()}
    lines = [
        (key, "  ".join(f"{k} {v:.3f}" for k, v in found.items())) for key, found in data.items()
    ]
    print_table(f"{count} faces of {SCALE_DIM} dimensions", lines)
    finish("people", {"scale": count, **data})


def real(folder: Path, models: str):
    from photoorg.cli.evaluate_faces import main_face
    from photoorg.encoders.spaces import open_face_encoder
    from photoorg.evaluate.class_folders import class_folders
    from photoorg.imaging.decode import Decoder

    config = EncoderConfig(faces="faces-mobilefacenet", device="cpu")
    encoder = open_face_encoder(config, models, faces=FacesConfig(enabled=True))
    decoder = Decoder(ImagingConfig())
    x, quality, labels = [], [], []
    for person in class_folders(folder):
        for file in sorted(person.iterdir()):
            picture = decoder.decode(file.read_bytes(), short_side=448, long_side=1280)
            found = encoder.detect(picture.rgb)
            if found:
                face = main_face(found)
                x.append(face.embedding)
                quality.append(face.quality)
                labels.append(person.name)
    return np.asarray(x, np.float32), np.asarray(quality, np.float32), labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for uniformity: always printed")
    parser.add_argument("--faces", type=Path, help="a folder with one folder per person")
    parser.add_argument("--models", default="~/.cache/photoorg/models")
    parser.add_argument("--scale", type=int, metavar="N", help="only: N faces, time and memory")
    args = parser.parse_args()
    if args.scale is not None:
        scale(args.scale)
        return
    sizes = np.maximum(1, np.random.default_rng(2).lognormal(1.8, 1.2, 250)).astype(np.int64)
    sets: dict[str, Any] = {
        "easy": made_up(sizes, (0.55, 0.75), 250),
        "hard": made_up(sizes, (0.35, 0.6), 250),
        "one person of 5,000": made_up(np.array([5000]), (0.5, 0.5), 0),
    }
    data: dict[str, Any] = {}
    inputs = {
        name: (x, np.full(len(x), 0.8, np.float32), labels.tolist())
        for name, (x, labels) in sets.items()
    }
    if args.faces is not None:
        inputs[args.faces.name] = real(args.faces, args.models)
    for name, (x_nd, quality_n, labels) in inputs.items():
        lines: list[tuple[str, Any]] = []
        for method, run in METHODS.items():
            result = measured(run, x_nd, quality_n, labels)
            data[f"{name} / {method}"] = {k: round(v, 4) for k, v in result.items()}
            lines.append((method, "  ".join(f"{k} {v:.3f}" for k, v in result.items())))
        print_table(f"{name}: {len(x_nd)} faces", lines)
    data["incremental_agreement_easy"] = agreement(sets["easy"][0])
    data["incremental_agreement_hard"] = agreement(sets["hard"][0])
    print_table(
        "placing a fifth of the faces, against clustering all",
        [(k, v) for k, v in data.items() if k.startswith("incremental")],
    )
    finish("people", data)


if __name__ == "__main__":
    main()
