"""What people said about faces, kept for ever: who a face is, who it is not, which go together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NOBODY = -1
Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Constraints:
    """Over the rows of a set of faces.

    `confirmed` says which person a row is, `excluded` which persons it is not; `must` and `cannot`
    are pairs of rows that are one person, or two. A confirmation outweighs a pair. `strangers` are
    pairs of persons that are not one.
    """

    confirmed: Mapping[int, int] = field(default_factory=dict)
    excluded: Mapping[int, frozenset[int]] = field(default_factory=dict)
    must: Pairs = ()
    cannot: Pairs = ()
    strangers: frozenset[frozenset[int]] = frozenset()

    def allows(self, row: int, person: int) -> bool:
        """Whether nobody said that the row is not this person."""
        told = self.confirmed.get(row, person)
        return told == person and person not in self.excluded.get(row, frozenset())


def settle(
    proposed_n: NDArray[np.int64],
    scores_n: NDArray[np.float32],
    photos_n: NDArray[np.int64],
    constraints: Constraints,
    kept_n: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """The person of each row such that every constraint holds; NOBODY where none is left.

    Rows that must go together take the person they are confirmed to be, else the one most of them
    are proposed to be. Then the surest are served first: a row that may not share a person with one
    served before it is left out. That no person is twice in one photo is a rule of the same
    kind, from which a confirmation or a must-link frees (a mirror, a collage), and which takes
    nothing away from a person that people put together (`kept_n`).
    """
    teams = _teams(len(proposed_n), constraints)
    team_of = {row: number for number, rows in enumerate(teams) for row in rows}
    foes: list[set[int]] = [set() for _ in teams]
    for a, b in constraints.cannot:
        if team_of[a] != team_of[b]:
            foes[team_of[a]].add(team_of[b])
            foes[team_of[b]].add(team_of[a])
    sure = [_certainty(rows, scores_n, constraints) for rows in teams]
    given = [NOBODY] * len(teams)
    in_photo: set[tuple[int, int]] = set()
    settled_n = np.full(len(proposed_n), NOBODY, np.int64)
    for number in sorted(range(len(teams)), key=lambda t: (-sure[t], teams[t][0])):
        rows = teams[number]
        told = any(row in constraints.confirmed for row in rows)
        kept = kept_n is not None and bool(kept_n[rows].any())
        for person in _candidates(rows, proposed_n, scores_n, constraints):
            twice = not kept and any((int(photos_n[row]), person) in in_photo for row in rows)
            beside = any(given[foe] == person for foe in foes[number])
            if told or not (twice or beside):
                given[number] = person
                settled_n[rows] = person
                in_photo.update((int(photos_n[row]), person) for row in rows)
                break
    return settled_n


def _teams(n: int, constraints: Constraints) -> list[list[int]]:
    """Rows joined by must-links; one that contradicts what was said before it has no say."""
    leader = list(range(n))

    def find(row: int) -> int:
        while leader[row] != row:
            leader[row] = leader[leader[row]]
            row = leader[row]
        return row

    person_of: dict[int, int] = dict(constraints.confirmed)
    out_of: dict[int, frozenset[int]] = dict(constraints.excluded)
    members: dict[int, set[int]] = {}
    foes_of: dict[int, set[int]] = {}
    for a, b in constraints.cannot:
        foes_of.setdefault(a, set()).add(b)
        foes_of.setdefault(b, set()).add(a)
    for a, b in constraints.must:
        one, two = find(a), find(b)
        left, right = members.get(one, {one}), members.get(two, {two})
        persons = {person_of[x] for x in (one, two) if x in person_of}
        barred = out_of.get(one, frozenset()) | out_of.get(two, frozenset())
        foes = any(foes_of.get(row, set()) & left for row in right)
        beside = {
            person_of.get(find(foe), NOBODY) for row in left | right for foe in foes_of.get(row, ())
        }
        if one == two or foes or len(persons) > 1 or persons & (barred | beside):
            continue
        leader[two] = one
        members[one] = left | right
        if persons:
            person_of[one] = persons.pop()
        if barred:
            out_of[one] = barred
    teams: dict[int, list[int]] = {}
    for row in range(n):
        teams.setdefault(find(row), []).append(row)
    return list(teams.values())


def _certainty(
    rows: Sequence[int], scores_n: NDArray[np.float32], constraints: Constraints
) -> float:
    told = any(row in constraints.confirmed for row in rows)
    return (2.0 if told else 0.0) + float(max(scores_n[row] for row in rows))


def _candidates(
    rows: Sequence[int],
    proposed_n: NDArray[np.int64],
    scores_n: NDArray[np.float32],
    constraints: Constraints,
) -> Iterable[int]:
    """Persons the rows could be, best first."""
    told = [constraints.confirmed[row] for row in rows if row in constraints.confirmed]
    if told:
        return told[:1]
    votes: dict[int, float] = {}
    for row in rows:
        person = int(proposed_n[row])
        if person != NOBODY:
            votes[person] = votes.get(person, 0.0) + 1.0 + float(scores_n[row])
    allowed = [p for p in votes if all(constraints.allows(row, p) for row in rows)]
    return sorted(allowed, key=lambda p: (-votes[p], p))
