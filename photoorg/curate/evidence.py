"""What speaks for and against two photos being the same picture, for many pairs at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.candidates import hamming
from photoorg.curate.facts import Facts
from photoorg.curate.turns import QUARTER, TURNS, Turn, turned

Floats = NDArray[np.float64]
PairKind = Literal["exact", "copy", "edit", "burst"]
KINDS: tuple[PairKind, ...] = ("exact", "copy", "edit", "burst")
SAME_PICTURE_BITS = 31
"""PDQ distance up to which its authors call two pictures the same."""
SAME_PHASH_BITS = 10
SAME_SHAPE = 0.02
SAME_SHOT_S = 0.02
MUCH = 0.1
"""Share of a picture that a change is worth a word from."""
ELSEWHERE = 0.02
"""The same for what moved."""
TURN_GAIN, TURNED_BITS = 20, 96
"""A turned picture must be nearer than the upright one by so many bits to be called turned, and
within so many: the nearest of eight turns of a stranger is some 112 bits away."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Columns [n]; NaN where something cannot be known.

    `pdq` bits 0..256 in the best of eight orientations, `turn` (a place in TURNS) which that was,
    `phash` bits 0..64 (upright), `cosine` -1..1 above what strangers have: 0 as far as two photos
    taken at random, 1 equal. `shape` |log| of the ratio of aspect ratios, `pixels` that of the
    number of pixels, `seconds` between capture times, `camera` 1 the same, 0 another, `aligned`
    0..1 how well the pictures can be laid over each other, and `steady` 0..1 whether as one plane:
    near 0 things moved against each other, as between two shots. `changed` is the share of what
    both show, 0..1, that is something else in the other, `moved` that which is elsewhere in it,
    `matched` that of the local features that agree. `one_burst`: the camera says so.
    """

    pdq: Floats
    turn: NDArray[np.int8]
    phash: Floats
    cosine: Floats
    shape: Floats
    pixels: Floats
    seconds: Floats
    camera: Floats
    aligned: Floats
    steady: Floats
    changed: Floats
    moved: Floats
    matched: Floats
    one_burst: NDArray[np.bool_]
    same_format: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pdq)

    def take(self, rows: NDArray[Any]) -> Evidence:
        """Some pairs, in the order of `rows`."""
        return Evidence(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def replaced(self, rows: NDArray[Any], by: Evidence) -> Evidence:
        """The same with other evidence of some pairs, in the order of `rows`."""
        columns = {f.name: getattr(self, f.name).copy() for f in fields(self)}
        for name, column in columns.items():
            column[rows] = getattr(by, name)
        return Evidence(**columns)


def gather(
    facts: Facts,
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    cosine: Floats,
    *,
    turn: NDArray[np.int8] | None = None,
) -> Evidence:
    """Evidence of the pairs (first[i], second[i]) of rows of `facts`; nothing was looked at.

    `cosine` is that above strangers, NaN where there are no vectors. `turn` says which turn of the
    second is like the first where that is known (-1 where not); else the hashes tell.
    """
    telling = facts.hashed[first] & facts.hashed[second]
    pdq, best = _oriented(facts.pdq[first], facts.pdq[second], turn)
    best = np.where(telling, best, 0).astype(np.int8)
    turn = best if turn is None else np.where(turn >= 0, turn, best).astype(np.int8)
    phash = hamming(facts.phash[first], facts.phash[second]).astype(np.float64)
    quarter = np.isin(turn, [TURNS.index(t) for t in QUARTER])
    logs = np.log(facts.width.astype(np.float64) / facts.height)
    shape = np.where(quarter, logs[first] + logs[second], logs[first] - logs[second])
    pixels = np.log(facts.width.astype(np.float64) * facts.height)
    known = (facts.camera[first] != 0) & (facts.camera[second] != 0)
    same = facts.camera[first] == facts.camera[second]
    bursts = (facts.burst[first] != 0) & (facts.burst[first] == facts.burst[second])
    return Evidence(
        pdq=np.where(telling, pdq, np.nan),
        turn=turn,
        phash=np.where(telling, phash, np.nan),
        cosine=cosine,
        shape=np.abs(shape),
        pixels=np.abs(pixels[first] - pixels[second]),
        seconds=np.abs(facts.taken[first] - facts.taken[second]),
        camera=np.where(known, same.astype(np.float64), np.nan),
        aligned=np.full(len(first), np.nan),
        steady=np.full(len(first), np.nan),
        changed=np.full(len(first), np.nan),
        moved=np.full(len(first), np.nan),
        matched=np.full(len(first), np.nan),
        one_burst=bursts,
        same_format=facts.mime[first] == facts.mime[second],
    )


def kinds(evidence: Evidence, *, burst_seconds: float) -> NDArray[np.int8]:
    """The kind of each pair, as a place in KINDS.

    exact: equal hashes, size and format (only metadata or encoding differ); copy: the same picture
    at another size, format or compression; edit: cropped, turned, filtered, framed, written on;
    burst: another shot of the same camera within `burst_seconds`.
    """
    with np.errstate(invalid="ignore"):
        upright = evidence.turn == 0
        same_frame = upright & (evidence.shape <= SAME_SHAPE)
        exact = same_frame & (evidence.pdq == 0) & (evidence.phash == 0) & evidence.same_format
        exact &= evidence.pixels == 0
        copy = same_frame & (evidence.pdq <= SAME_PICTURE_BITS)
        copy &= evidence.phash <= SAME_PHASH_BITS
        copy &= ~(evidence.aligned < 0.6) & ~(evidence.steady < 0.5)
        burst = evidence.one_burst | ((evidence.camera == 1) & (evidence.seconds <= burst_seconds))
        burst &= ~(evidence.seconds <= SAME_SHOT_S)
    kind = np.full(len(evidence), KINDS.index("edit"), np.int8)
    kind[copy] = KINDS.index("copy")
    kind[exact] = KINDS.index("exact")
    kind[burst] = KINDS.index("burst")
    return kind


def in_words(evidence: Evidence) -> list[list[str]]:
    """For each pair, what was found, for people."""
    columns = [getattr(evidence, f.name).tolist() for f in fields(evidence)]
    names = [f.name for f in fields(evidence)]
    return [_said(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def _said(row: dict[str, Any]) -> list[str]:
    said = []
    if row["pdq"] == row["pdq"]:
        how = "" if row["turn"] == 0 else f" once one is turned ({TURNS[row['turn']]})"
        said.append(f"pictures differ in {row['pdq']:.0f} of 256 bits{how}")
    if row["aligned"] == row["aligned"]:
        said.append(f"laid over each other they agree to {row['aligned']:.0%}")
    if row["aligned"] >= 0.6 and row["steady"] < 0.5:
        said.append("things moved against each other, as between two shots")
    if row["changed"] >= MUCH:
        said.append(f"{row['changed']:.0%} shows something else, as at another moment")
    if row["moved"] >= ELSEWHERE:
        said.append("a part moved against the rest")
    if row["cosine"] == row["cosine"]:
        said.append(f"look alike: {row['cosine']:.2f} (strangers 0, equal 1)")
    said.append("same shape" if row["shape"] <= SAME_SHAPE else "different aspect ratios")
    if row["camera"] == 1:
        said.append("same camera")
    elif row["camera"] == 0:
        said.append("different cameras")
    if row["one_burst"]:
        said.append("same burst")
    if row["seconds"] == row["seconds"]:
        said.append(_apart(row["seconds"]))
    return said


def _apart(seconds: float) -> str:
    if seconds <= SAME_SHOT_S:
        return "taken at the same moment"
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"taken {seconds / size:.0f} {name} apart"
    return f"taken {seconds:.2g} s apart"


def _oriented(
    a_n4: NDArray[np.uint64], b_n4: NDArray[np.uint64], known: NDArray[np.int8] | None
) -> tuple[Floats, NDArray[np.int8]]:
    """The least PDQ distance over the eight orientations of b, and which it is.

    Where the orientation is known the distance is that in it.
    """
    best = hamming(a_n4, b_n4).astype(np.int32)
    turn = np.zeros(len(a_n4), np.int8)
    asked = np.full(len(a_n4), -1, np.int8) if known is None else known
    others: Sequence[Turn] = TURNS[1:]
    for number, name in enumerate(others, 1):
        bits = hamming(a_n4, turned(b_n4, name))
        nearer = (bits <= TURNED_BITS) & (bits + np.where(turn == 0, TURN_GAIN, 0) < best)
        nearer = np.where(asked >= 0, asked == number, nearer)
        best = np.where(nearer, bits, best)
        turn = np.where(nearer, number, turn).astype(np.int8)
    return best.astype(np.float64), turn
