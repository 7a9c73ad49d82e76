"""Quality of duplicate detection on edited photographs, beside perceptual-hash peers.

python -m benchmarks.dedup_quality --json [--from PHOTOS] [--photos 90] [--seed 100] [--fit]
python -m benchmarks.dedup_quality --json [--from PHOTOS] [--photos 90] --seeds 3,5,7 [--by-kind]

Ours goes the whole way from facts to groups. The peers group by the connected components of pairs
within their usual distance, as their packages suggest: imagededup's PHash within 10 of 64 bits and
its CNN from a cosine of 0.9 (installed into an environment of their own, null with the reason where
that cannot be done; with the MobileNetV2 of the models folder where its own network cannot be had),
imagehash's phash within 10 of 64 bits, PDQ within 31 of 256, and the cosine of the same vectors as
ours from the threshold that suits them best here.

ROC-AUC is over all n (n - 1) / 2 pairs of files. Of ours, a pair that never became a candidate, and
one of a burst, ranks at 0 below every other; such pairs tie, and a tie of a true pair with a false
one counts half. The peers score every pair. `held_out` is the same measure over the files
whose pictures the weights were not fitted to: the textures, which are other ones for every seed
(the shipped photographs are in every set), or all files of another folder. --moments adds other
moments of the scenes, the hardest negatives. --fit makes other edits and moments (other seeds),
fits the weights of the confidence to them and prints them; it does not measure.
--seeds measures ours alone on several sets. --by-kind says of every edit how many of its pairs with
the original were no candidates, were not sure enough, or were sure and in different groups, and
which false pairs are the surest.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from benchmarks import edits
from benchmarks.dedup_kinds import print_kinds
from benchmarks.edited import Folder
from benchmarks.imagededup_peer import CNN_COSINE, PHASH_BITS, imagededup
from benchmarks.report import finish, print_table
from photoorg.config import load
from photoorg.curate.confidence import FEATURES, FITTED, features, fit
from photoorg.curate.duplicates import by_rank, find, group
from photoorg.curate.evidence import KINDS
from photoorg.curate.scoring import Scored
from photoorg.curation_config import DedupConfig
from photoorg.evaluate.pairs import Pair, PairScores, same_label, score

FIT_SEEDS = (1, 2, 4, 6)
BURST = KINDS.index("burst")
LIMITS = {"precision": 0.98, "recall": 0.92, "roc_auc": 0.99}
THRESHOLD = DedupConfig().confidence
GIVEN = "mobilenetv2_int8w_feat1280_imagenet.onnx"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        if options.fit:
            _fit(options, Path(name))
            return
        if options.seeds:
            _several(options, Path(name))
            return
        folder = Path(name) / "photos"
        rows = _written(folder, options, options.seed)
        data = Folder(folder, Path(name) / "index")
        started = time.perf_counter()
        found, confidence, _ = _ours(data)
        seconds = time.perf_counter() - started
        truth = same_label(data.labels)
        peers: dict[str, PairScores | None] = {
            "imagehash phash <= 10": _phash(folder, data, 10),
            "PDQ <= 31": _pdq(data, 31),
            "cosine of the same vectors": _cosine(data),
        }
        imagededup, missing = _imagededup(folder, data, Path(name))
    peers |= imagededup
    ours = score(data.labels, found, confidence)
    held = _held_out(data, found, confidence, other=options.source is not None)
    kinds = {name: kind for name, _, kind in rows}
    missed = Counter(kinds[data.names[n]] for pair in truth - found for n in pair)
    for a, b in sorted(found - truth):
        print("wrong:", data.names[a], data.names[b], round(confidence[a, b], 3))
    table = [("photoorg", ours), ("photoorg, held-out files", held), *peers.items()]
    lines = [
        (
            name,
            missing[name] if s is None else _line(s),
        )
        for name, s in table
    ]
    print_table(f"{len(rows)} files, {len(truth)} true pairs, seed {options.seed}", lines)
    print("missed pairs by edit:", dict(missed.most_common(12)))
    if options.by_kind:
        print_kinds(data.names, data.labels, kinds, found, confidence, THRESHOLD)
    result = {
        "precision": ours.precision,
        "recall": ours.recall,
        "f1": ours.f1,
        "roc_auc": ours.roc_auc,
        "limits": LIMITS,
        "met": all(getattr(ours, k) >= v for k, v in LIMITS.items()),
        "files": len(rows),
        "true_pairs": len(truth),
        "seconds": seconds,
        "seed": options.seed,
        "source": str(options.source.name if options.source else "shipped and textures"),
        "unscored_true_pairs": len(truth - confidence.keys()),
        "held_out": _figures(held) | {"files": held.n, "true_pairs": held.positives},
        "peers": {n: None if s is None else _figures(s) for n, s in peers.items()},
        "peers_missing": missing,
    }
    finish("dedup_quality", result)


def _written(
    folder: Path, options: argparse.Namespace, seed: int, *, moments: bool = False
) -> list[tuple[str, str, str]]:
    """The files of one set, and what they are."""
    return edits.write(
        folder,
        folder=options.source,
        photos=options.photos,
        seed=seed,
        moments=moments or options.moments,
    )


def _scored(data: Folder, config: DedupConfig) -> tuple[Scored, NDArray[np.int64]]:
    """Scores over facts in the order of keepers, and which file each of them is."""
    facts = by_rank(data.facts, config)
    place = {key.tobytes(): n for n, key in enumerate(data.facts.keys)}
    order = np.asarray([place[key.tobytes()] for key in facts.keys])
    visual = data.visual.over(facts.keys)
    found = find(facts, config, visual=visual, pictures=data, encoder=data.encoder)
    return found, order


def _line(s: PairScores) -> str:
    return f"precision {s.precision:.4f}  recall {s.recall:.4f}  ROC-AUC {s.roc_auc:.4f}"


def _figures(scores: PairScores) -> dict[str, float]:
    return {
        "precision": round(scores.precision, 4),
        "recall": round(scores.recall, 4),
        "roc_auc": round(scores.roc_auc or 0, 4),
    }


def _several(options: argparse.Namespace, scratch: Path) -> None:
    """Measures ours on one set for each seed."""
    results = []
    for seed in options.seeds:
        folder = scratch / str(seed)
        rows = _written(folder, options, seed)
        data = Folder(folder, scratch / f"index-{seed}")
        started = time.perf_counter()
        found, confidence, scored = _ours(data)
        seconds = time.perf_counter() - started
        if options.by_kind:
            kinds = {name: kind for name, _, kind in rows}
            print_kinds(data.names, data.labels, kinds, found, confidence, THRESHOLD)
        ours = score(data.labels, found, confidence)
        held = _held_out(data, found, confidence, other=options.source is not None)
        results.append(
            {"seed": seed, "files": len(rows), "true_pairs": ours.positives}
            | _figures(ours)
            | {"held_out": _figures(held), "seconds": round(seconds, 2), "looked": scored.looked}
        )
        print_table(
            f"seed {seed}: {len(rows)} files, {ours.positives} true pairs, {seconds:.1f} s",
            [(n, _line(s)) for n, s in (("photoorg", ours), ("held-out files", held))],
        )
    least = {k: min(r[k] for r in results) for k in LIMITS}
    met = all(least[k] >= v for k, v in LIMITS.items())
    source = str(options.source.name if options.source else "shipped and textures")
    finish(
        "dedup_quality",
        {"seeds": results, "least": least, "limits": LIMITS, "met": met, "source": source},
    )


def _ours(data: Folder) -> tuple[set[Pair], dict[Pair, float], Scored]:
    """Pairs of one group, the confidence of every candidate, and all that is known of those."""
    config = DedupConfig(floor=0.0)
    scored, order = _scored(data, config)
    confidence = {
        _pair(order[a], order[b]): float(c) * (0.0 if k == BURST else 1.0)
        for a, b, c, k in zip(
            scored.first, scored.second, scored.confidence, scored.kind, strict=True
        )
    }
    found: set[Pair] = set()
    for star in group(scored, config.confidence):
        kept = [m for m, p in zip(star.members, star.pairs, strict=True) if scored.kind[p] != BURST]
        for a, b in combinations([star.keeper, *kept], 2):
            pair = _pair(order[a], order[b])
            found.add(pair)
            least = min(float(scored.confidence[p]) for p in star.pairs)
            confidence[pair] = max(confidence.get(pair, 0.0), least)
    return found, confidence, scored


def _held_out(
    data: Folder, found: set[Pair], confidence: dict[Pair, float], *, other: bool
) -> PairScores:
    """The same over the textures, or over all files where the folder is another one."""
    items = [n for n, name in enumerate(data.names) if other or name.startswith("texture")]
    place = {item: n for n, item in enumerate(items)}
    inside = {(a, b): (place[a], place[b]) for a in items for b in items if a < b}
    return score(
        [data.labels[n] for n in items],
        {inside[p] for p in found if p in inside},
        {inside[p]: value for p, value in confidence.items() if p in inside},
    )


def _imagededup(
    folder: Path, data: Folder, scratch: Path
) -> tuple[dict[str, PairScores | None], dict[str, str]]:
    """Its methods, None where they cannot be had, and why."""
    given = Path(load().models_dir).expanduser() / GIVEN
    peer = imagededup(folder, scratch, given)
    hashed = f"imagededup PHash <= {PHASH_BITS}"
    network = f"imagededup CNN {peer.network} >= {CNN_COSINE}".replace("  ", " ")
    place = {name: n for n, name in enumerate(peer.names)}
    order = [place.get(name, -1) for name in data.names]
    scores: dict[str, PairScores | None] = {hashed: None, network: None}
    missing = {"imagededup's own network": peer.cnn_missing} if peer.cnn_missing else {}
    if peer.phash is None or -1 in order:
        missing[hashed] = peer.phash_missing or "imagededup could not read every file"
    else:
        bits = peer.phash[order]
        distances = (bits[:, None] != bits[None]).sum(-1)
        scores[hashed] = _components(data.labels, distances <= PHASH_BITS, 1 - distances / 64)
    if peer.cnn is None or -1 in order:
        missing[network] = peer.cnn_missing or "imagededup could not read every file"
    else:
        x_nd = peer.cnn[order].astype(np.float64)
        x_nd /= np.linalg.norm(x_nd, axis=1, keepdims=True)
        cosines = x_nd @ x_nd.T
        scores[network] = _components(data.labels, cosines >= CNN_COSINE, cosines)
    return scores, missing


def _phash(folder: Path, data: Folder, most: int) -> PairScores:
    codes = []
    for name in data.names:
        with Image.open(folder / name) as image:
            codes.append(imagehash.phash(ImageOps.exif_transpose(image)).hash.reshape(-1))
    bits = np.asarray(codes)
    distances = (bits[:, None] != bits[None]).sum(-1)
    return _components(data.labels, distances <= most, 1 - distances / 64)


def _pdq(data: Folder, most: int) -> PairScores:
    codes = data.facts.pdq
    distances = np.bitwise_count(codes[:, None] ^ codes[None]).sum(-1, dtype=np.int64)
    return _components(data.labels, distances <= most, 1 - distances / 256)


def _cosine(data: Folder) -> PairScores:
    n = len(data.labels)
    a, b = np.triu_indices(n, 1)
    cosines = np.zeros((n, n))
    cosines[a, b] = data.visual.cosines(a.astype(np.int32), b.astype(np.int32))
    cosines += cosines.T
    thresholds = np.arange(0.3, 1.0, 0.05)
    tried = [_components(data.labels, cosines >= t, cosines) for t in thresholds]
    return max(tried, key=lambda s: s.f1)


def _components(
    labels: list[str], near: NDArray[np.bool_], similarity: NDArray[np.float64]
) -> PairScores:
    n = len(labels)
    _, component = connected_components(coo_array(near), directed=False)
    a, b = np.triu_indices(n, 1)
    together = component[a] == component[b]
    found = set(zip(a[together].tolist(), b[together].tolist(), strict=True))
    scores = dict(zip(zip(a.tolist(), b.tolist(), strict=True), similarity[a, b], strict=True))
    return score(labels, found, scores)


def _fit(options: argparse.Namespace, scratch: Path) -> None:
    x, y = [], []
    for seed in FIT_SEEDS:
        folder = scratch / str(seed)
        _written(folder, options, seed, moments=True)
        data = Folder(folder, scratch / f"index-{seed}")
        scored, order = _scored(data, DedupConfig(floor=0.0))
        truth = same_label(data.labels)
        pairs = [
            _pair(order[a], order[b]) for a, b in zip(scored.first, scored.second, strict=True)
        ]
        keep = scored.kind != BURST
        x.append(features(scored.evidence)[keep])
        y.append(np.asarray([pair in truth for pair in pairs])[keep])
    x_nf, same = np.concatenate(x), np.concatenate(y)
    model = fit(x_nf, same, FITTED)
    print(f"{len(same)} pairs, {int(same.sum())} the same picture")
    for name, weight in zip(FEATURES, model.weights, strict=True):
        print(f"{name:>18} {weight:7.3f}")
    weights = ", ".join(f"{w:.3f}" for w in model.weights)
    print(f"Model(({weights}), {model.bias:.3f})")


def _pair(a: int, b: int) -> tuple[int, int]:
    return (int(min(a, b)), int(max(a, b)))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--from", dest="source", type=Path)
    parser.add_argument("--photos", type=int, default=90)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--seeds", type=_numbers, default=(), help="several, without peers")
    parser.add_argument("--by-kind", action="store_true")
    parser.add_argument("--moments", action="store_true", help="other moments beside the edits")
    return parser.parse_args()


if __name__ == "__main__":
    main()
