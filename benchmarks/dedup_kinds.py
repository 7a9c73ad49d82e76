"""Where duplicate pairs are lost, by kind of edit: a table of benchmarks.dedup_quality."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set

from photoorg.evaluate.pairs import Pair, same_label

SUREST = 10


def print_kinds(
    names: Sequence[str],
    labels: Sequence[str],
    kinds: Mapping[str, str],
    found: Set[Pair],
    confidence: Mapping[Pair, float],
    threshold: float,
) -> None:
    """Print what became of the true pairs of every edit, and the surest false pairs.

    A pair counts for both its files, an edit done twice over for both edits.
    """
    columns: dict[str, Counter[str]] = defaultdict(Counter)
    truth = same_label(labels)
    for pair in truth:
        fate = _fate(pair, found, confidence, threshold)
        for kind in {k for n in pair for k in kinds[names[n]].split("+")}:
            columns[kind][fate] += 1
    print(f"{'edit':>12} {'pairs':>6} {'found':>6} {'unseen':>7} {'unsure':>7} {'apart':>6}")
    for kind in sorted(columns):
        fates = columns[kind]
        print(
            f"{kind:>12} {fates.total():6} {fates['found']:6} {fates['unseen']:7}"
            f" {fates['unsure']:7} {fates['apart']:6}"
        )
    false = sorted((value, pair) for pair, value in confidence.items() if pair not in truth)
    print("surest false pairs:")
    for value, (a, b) in false[: -SUREST - 1 : -1]:
        print(f"  {value:.3f} {names[a]} {names[b]}")


def _fate(pair: Pair, found: Set[Pair], confidence: Mapping[Pair, float], threshold: float) -> str:
    """found: in one group; unseen: no candidate; unsure: below the threshold; apart: sure, yet in
    different groups.
    """
    if pair in found:
        return "found"
    if pair not in confidence:
        return "unseen"
    return "unsure" if confidence[pair] < threshold else "apart"
