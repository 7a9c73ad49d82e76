"""How far the clock of each camera is off, from photos that another camera took at the same time.

A camera whose clock is off by a constant takes its photos inside the other cameras' sessions (and
at their places, where both know them) once its times are shifted by that constant, and outside them
otherwise. The shift is believed only if few other shifts do nearly as well, photos of several
sessions agree, and so many agreeing by chance is out of the question. Clocks that nobody sets on
journeys to other zones are right at home, and are told by the same signs (`on_journeys`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photoorg.curate.pauses import valley
from photoorg.curate.timeline import Floats, Ints, Mask, Timeline
from photoorg.curation_config import EventsConfig

BIN_S = 600.0
REACH_S = 26 * 3600.0
MARGIN_S = 15 * 60.0
FAR_S = 3 * 3600.0
LEAST_S = 20 * 60.0
CELL_DEG = 0.01
SAMPLE = 400
GUESSES = 12_000
CHANCE = 1e-4
ZONE_S = 3600.0
HALF_DAY_S = 12 * 3600.0
GUESSED_H = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
"""How far the hours of a place may be from what its longitude says."""


@dataclass(frozen=True, slots=True)
class ClockShift:
    """Seconds to add to a camera's times; `trusted` tells its believable times from the others.

    `agreeing` is the share 0..1 of its photos that then meet another camera's.
    """

    camera: int
    trusted: bool
    seconds: float
    photos: int
    sessions: int
    agreeing: float


def clock_shifts(line: Timeline, config: EventsConfig) -> list[ClockShift]:
    """The shifts there is good evidence for; cameras are compared with those dealt with before.

    Cameras that know their zone or place (phones, set by the network) come first, then the busier.
    """
    groups = _groups(line)
    if len(groups) < 2 or not groups[0][0][1]:
        return []
    found: list[ClockShift] = []
    reference, *others = groups
    met = _Reference(line, config, [(reference[1], 0.0)])
    journeys = _journeys(line, line.utc_n, reference[1])
    for (camera, trusted), members in others:
        shift = met.shift_of(members, far=not trusted)
        if shift is None and journeys and not line.zoned_n[members].any():
            # A clock that is off and was not set on journeys either is the same off at home only.
            shift = met.shift_of(_outside(line, members, journeys), far=not trusted)
        if shift is not None:
            seconds, sessions, agreeing = shift
            found.append(
                ClockShift(camera, trusted, seconds, len(members), sessions, round(agreeing, 3))
            )
        if trusted or shift is not None:
            met = met.joined(members, shift[0] if shift else 0.0)
    return found


def shifted(line: Timeline, shifts: list[ClockShift]) -> tuple[Floats, Mask]:
    """Times (UTC seconds) with the shifts applied, and which of them can be believed."""
    utc, trusted = line.utc_n.copy(), line.trusted_n.copy()
    for shift in shifts:
        chosen = _members(line, shift.camera, shift.trusted)
        utc[chosen] += shift.seconds
        trusted[chosen] = True
    return utc, trusted


def on_journeys(
    line: Timeline, config: EventsConfig, utc: Floats
) -> tuple[Floats, list[ClockShift]]:
    """`utc` with the clocks put right that nobody set on journeys to other zones, and which.

    Where the camera that knows its zone or place was for half a day or more in another zone than
    usual, the others are tried with the time of home. That is believed where then most of their
    photos meet the first camera's and before few did.
    """
    (reference, members), *others = _groups(line) or [((0, False), np.zeros(0, np.int64))]
    journeys = _journeys(line, utc, members) if reference[1] else []
    if not journeys or not others:
        return utc, []
    met = _Reference(line, config, [(members, 0.0)])
    right, found = utc.copy(), []
    for (camera, trusted), rows in others:
        if trusted and not line.zoned_n[rows].any():
            tried = [met.at_home(line, utc, rows, journey) for journey in journeys]
            chosen = [one for one in tried if one is not None]
            if not _agree(chosen):
                continue
            for one in chosen:
                right[one.rows] = one.utc
            all_rows = np.concatenate([one.rows for one in chosen])
            seconds = float(np.median(right[all_rows] - utc[all_rows]))
            sessions = sum(one.agreeing for one in chosen)
            share = float(np.concatenate([one.after for one in chosen]).mean())
            found.append(
                ClockShift(camera, True, seconds, len(all_rows), sessions, round(share, 3))
            )
    return right, found


@dataclass(frozen=True, slots=True)
class _Journey:
    """A stay in a zone so many seconds `ahead` of home; `home` is the offset there, if told."""

    begin: float
    end: float
    ahead: float
    home: float | None


@dataclass(frozen=True, slots=True)
class _AtHome:
    """Photos of a journey with the time of home, and whether they meet another camera's."""

    rows: Ints
    utc: Floats
    before: Mask
    after: Mask
    agreeing: int
    chance: float


def _journeys(line: Timeline, utc: Floats, members: Ints) -> list[_Journey]:
    """Stays of half a day or more, an hour or more from the zone of most days."""
    told = bool(line.zoned_n[members].mean() > 0.5)
    zone = line.offset_n[members] if told else np.round(line.lon_n[members] / 15) * ZONE_S
    known = np.isfinite(zone) & (line.zoned_n[members] if told else True)
    zone, at = zone[known], utc[members][known]
    if not len(zone):
        return []
    order = np.argsort(at, kind="stable")
    zone, at = zone[order], at[order]
    zones, code = np.unique(zone, return_inverse=True)
    days = np.unique(np.floor(at / 86_400).astype(np.int64) * len(zones) + code)
    home = float(zones[np.bincount(days % len(zones)).argmax()])
    # Summer time is no journey, nor is the next zone by longitude.
    away = np.abs(zone - home) > ZONE_S
    edges = np.flatnonzero(np.diff(away, prepend=False, append=False))
    found = []
    for first, last in zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True):
        values, counts = np.unique(zone[first : last + 1], return_counts=True)
        ahead = float(values[counts.argmax()]) - home
        if at[last] - at[first] >= HALF_DAY_S:
            found.append(_Journey(float(at[first]), float(at[last]), ahead, home if told else None))
    return found


def _outside(line: Timeline, members: Ints, journeys: list[_Journey]) -> Ints:
    """Photos that are a day or more from every journey, whatever the zones."""
    utc = line.utc_n[members]
    away = np.zeros(len(members), bool)
    for one in journeys:
        away |= (utc >= one.begin - 86_400) & (utc <= one.end + 86_400)
    return members[~away]


def _agree(tried: list[_AtHome]) -> bool:
    """Whether the time of home explains what cameras on journeys show, and theirs does not."""
    if not tried:
        return False
    after = float(np.concatenate([one.after for one in tried]).mean())
    before = float(np.concatenate([one.before for one in tried]).mean())
    agreeing = sum(one.agreeing for one in tried)
    chance = float(np.prod([one.chance**one.agreeing for one in tried]))
    return after >= 0.7 and before <= 0.5 * after and agreeing >= 3 and chance <= 0.05


def _members(line: Timeline, camera: int, trusted: bool) -> Mask:
    of_camera = (line.camera_n == camera) & np.isfinite(line.utc_n) & ~line.exact_n & ~line.weak_n
    return np.asarray(of_camera & (line.trusted_n == trusted))


def _groups(line: Timeline) -> list[tuple[tuple[int, bool], Ints]]:
    """Photos of one camera and kind of clock, the most reliable first."""
    groups: list[tuple[tuple[float, ...], tuple[int, bool], Ints]] = []
    for camera in range(int(line.camera_n.max(initial=-1)) + 1):
        for trusted in (True, False):
            members = np.flatnonzero(_members(line, camera, trusted))
            if not len(members):
                continue
            located = bool(np.isfinite(line.lat_n[members]).mean() > 0.3)
            groups.append(((-trusted, -located, -len(members), camera), (camera, trusted), members))
    return [(key, members) for _, key, members in sorted(groups, key=lambda g: g[0])]


class _Reference:
    """Sessions and places of the cameras dealt with so far."""

    def __init__(
        self, line: Timeline, config: EventsConfig, parts: list[tuple[Ints, float]]
    ) -> None:
        self._line = line
        self._config = config
        self._parts = parts
        members = np.concatenate([m for m, _ in parts])
        utc = np.concatenate([line.utc_n[m] + seconds for m, seconds in parts])
        order = np.argsort(utc, kind="stable")
        utc, members = utc[order], members[order]
        self._pause = valley(np.diff(utc), config)
        starts = _session_starts(utc, self._pause)
        self._starts = utc[starts] - MARGIN_S
        self._ends = utc[np.append(starts[1:] - 1, len(utc) - 1)] + MARGIN_S
        session = np.searchsorted(starts, np.arange(len(utc)), side="right") - 1
        self._cells, self._places = _visited(session, self._cell(members))
        busy = float((self._ends - self._starts).sum())
        whole = max(float(self._ends[-1] - self._starts[0]), busy, 86_400.0)
        # People sleep: within their days sessions are about twice as dense.
        self._chance = min(0.9, 2 * busy / whole)

    def joined(self, members: Ints, seconds: float) -> _Reference:
        """With one more camera."""
        return _Reference(self._line, self._config, [*self._parts, (members, seconds)])

    def shift_of(self, members: Ints, *, far: bool) -> tuple[float, int, float] | None:
        """Seconds, sessions that agree and share of photos that agree; None without evidence."""
        if not len(members):
            return None
        members = members[np.argsort(self._line.utc_n[members], kind="stable")]
        utc = self._line.utc_n[members]
        session_of = np.cumsum(np.insert(np.diff(utc) > self._pause, 0, False)).astype(np.int64)
        keep = np.unique(np.floor(utc / BIN_S), return_index=True)[1]
        keep = keep[np.linspace(0, len(keep) - 1, min(SAMPLE, len(keep))).astype(np.int64)]
        sample = _Sample(utc[keep], self._cell(members[keep]), session_of[keep])
        if not far:
            near = np.arange(-REACH_S, REACH_S + 1, BIN_S)
            before = float(self._agreement(sample, np.zeros(1)).mean())
            found = self._best(sample, near, before)
            if found is not None or before > 0.05:
                return found
        return self._best(sample, self._guesses(utc), 0.0, far=True)

    def at_home(self, line: Timeline, utc: Floats, rows: Ints, journey: _Journey) -> _AtHome | None:
        """The camera's photos of a journey by the time of home; None if it had none there."""
        if journey.home is not None:
            moves = [line.offset_n[rows] - journey.home]
        else:
            moves = [np.full(len(rows), journey.ahead + h * ZONE_S) for h in GUESSED_H]
        best = None
        for move in moves:
            moved = utc[rows] + move
            inside = (moved >= journey.begin - FAR_S) & (moved <= journey.end + FAR_S)
            inside &= np.abs(move) >= LEAST_S
            if np.count_nonzero(inside) < 3:
                continue
            chosen = rows[inside][np.argsort(moved[inside], kind="stable")]
            now = np.sort(moved[inside], kind="stable")
            session = np.cumsum(np.insert(np.diff(now) > self._pause, 0, False)).astype(np.int64)
            before = self._hits(_Sample(utc[chosen], self._cell(chosen), session), np.zeros(1))
            after = self._hits(_Sample(now, self._cell(chosen), session), np.zeros(1))[:, 0]
            agreeing = sum(after[session == s].mean() >= 0.5 for s in np.unique(session))
            chance = min(0.9, len(moves) ** 0.25 * self._busy(journey.begin, journey.end))
            if best is None or after.mean() > best.after.mean():
                best = _AtHome(chosen, now, before[:, 0], after, int(agreeing), chance)
        return best

    def _busy(self, begin: float, end: float) -> float:
        """The share of a time that sessions take, of the waking hours of a day."""
        taken = np.minimum(self._ends, end) - np.maximum(self._starts, begin)
        return float(1.5 * np.maximum(taken, 0.0).sum() / (end - begin))

    def _best(
        self, sample: _Sample, shifts: Floats, before: float, *, far: bool = False
    ) -> tuple[float, int, float] | None:
        if not len(shifts):
            return None
        share = self._agreement(sample, shifts)
        top = float(share.max())
        if top < (0.8 if far else 0.65) or before > 0.6 * top:
            return None
        plateau = shifts[share >= top - 0.03]
        seconds = float(np.median(plateau))
        if np.ptp(plateau) > 2 * FAR_S or abs(seconds) < LEAST_S:
            return None
        rivals = share[np.abs(shifts - seconds) > FAR_S]
        if len(rivals) and float(rivals.max()) > 0.75 * top:
            return None
        hits = self._hits(sample, np.array([seconds]))[:, 0]
        sessions = np.unique(sample.session).size
        agreeing = int(
            sum(hits[sample.session == s].mean() >= 0.5 for s in np.unique(sample.session))
        )
        chance = len(shifts) * self._chance ** max(0, agreeing - 1)
        if agreeing < max(3, 0.6 * sessions) or chance > CHANCE:
            return None
        return seconds, agreeing, float(hits.mean())

    def _agreement(self, sample: _Sample, shifts: Floats) -> Floats:
        blocks = [
            self._hits(sample, shifts[i : i + 500]).mean(axis=0) for i in range(0, len(shifts), 500)
        ]
        return np.concatenate(blocks)

    def _hits(self, sample: _Sample, shifts: Floats) -> Mask:
        """Whether each sampled photo [m] meets another camera at each shift [s]: bool [m, s]."""
        moved = sample.utc[:, None] + shifts
        at = np.searchsorted(self._starts, moved, side="right") - 1
        inside = (at >= 0) & (moved <= self._ends[np.maximum(at, 0)])
        placed = np.flatnonzero(np.isin(sample.cell, self._cells) & (sample.cell >= 0))
        if len(placed):
            keys = _place_key(at[placed], sample.cell[placed][:, None])
            where = np.minimum(np.searchsorted(self._places, keys), len(self._places) - 1)
            inside[placed] &= self._places[where] == keys
        return np.asarray(inside)

    def _cell(self, members: Ints) -> Ints:
        return _cells(self._line.lat_n[members], self._line.lon_n[members])

    def _guesses(self, utc: Floats) -> Floats:
        """Shifts that lay one of the camera's first sessions on any known session."""
        own = utc[_session_starts(utc, self._pause)][:3]
        known = self._starts + MARGIN_S
        if len(own) * len(known) > GUESSES:
            known = known[:: -(-len(own) * len(known) // GUESSES)]
        return np.unique(np.round((known[None, :] - own[:, None]).ravel() / BIN_S) * BIN_S)


@dataclass(frozen=True, slots=True)
class _Sample:
    utc: Floats
    cell: Ints
    session: Ints


def _session_starts(utc: Floats, pause: float) -> Ints:
    return np.flatnonzero(np.insert(np.diff(utc) > pause, 0, True))


def _cells(lat: Floats, lon: Floats) -> Ints:
    """Numbers of cells of about a kilometre; -1 for no place."""
    known = np.isfinite(lat) & np.isfinite(lon)
    row = np.floor(np.where(known, lat + 90, 0) / CELL_DEG).astype(np.int64)
    column = np.floor(np.where(known, lon + 180, 0) / CELL_DEG).astype(np.int64)
    return np.where(known, row * 40_000 + column, -1)


def _place_key(session: Ints, cell: Ints) -> Ints:
    return np.asarray(session * 1_000_000_007 + cell)


def _visited(session: Ints, cell: Ints) -> tuple[Ints, Ints]:
    """Cells at or next to known places, and keys of (session, cell at or next to its places)."""
    known = cell >= 0
    seen = np.unique(np.stack([session[known], cell[known]], axis=1), axis=0)
    around = np.array([-40_001, -40_000, -39_999, -1, 0, 1, 39_999, 40_000, 40_001])
    cells = seen[:, 1][:, None] + around
    return np.unique(cells), np.unique(_place_key(seen[:, :1], cells))
