"""Which photos belong together: RAW with its JPEG, the two halves of a live photo, bursts.

Pairs are data with evidence, never guesses by name: each needs agreement of metadata (capture
time, camera, identifiers the camera wrote) and, where both have one, of content (PDQ). A shared
file stem only supports what is already shown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from photoorg.imaging.hashes import hamming
from photoorg.models import Exif, Hashes

ShotKind = Literal["still", "raw", "video"]
PairKind = Literal["raw_jpeg", "live_photo", "burst"]

_SAME_PICTURE_BITS = 31
_SAME_SCENE_BITS = 80
_SAME_FRAME_BITS = 10
_PDQ_MIN_QUALITY = 50
_BURST_GAP = timedelta(seconds=1)
_CLOCK_SOURCES = ("offset_original", "offset", "gps", "exif_local")
_AMBIGUOUS = 0.02


@dataclass(frozen=True, slots=True)
class Shot:
    """What pairing looks at. For a video, `exif` carries what its container says."""

    photo_id: str
    uri: str
    kind: ShotKind
    mime: str = ""
    exif: Exif = field(default_factory=Exif)
    hashes: Hashes | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two shots that belong together.

    `first_id` is the RAW, the still of a live photo, or the earlier of a burst. `confidence` is
    0..1, `evidence` says in words what agrees.
    """

    kind: PairKind
    first_id: str
    second_id: str
    confidence: float
    evidence: tuple[str, ...]


def find_pairs(shots: Iterable[Shot]) -> list[Pair]:
    """All pairs among `shots`, in O(n log n) for photos spread over time.

    A JPEG that belongs to a RAW takes no part in bursts: its RAW does.
    """
    known = list({shot.photo_id: shot for shot in shots}.values())
    developed = raw_jpeg_pairs(known)
    companions = {pair.second_id for pair in developed}
    rest = [shot for shot in known if shot.photo_id not in companions]
    return [*developed, *live_photo_pairs(known), *burst_pairs(rest)]


def raw_jpeg_pairs(shots: Sequence[Shot]) -> list[Pair]:
    """Each RAW with the one still that shows the same exposure; none where two fit equally well."""
    stills: dict[tuple[str, datetime], list[Shot]] = defaultdict(list)
    for shot in shots:
        if shot.kind == "still" and (key := _moment_key(shot)):
            stills[key].append(shot)
    found = []
    for raw in shots:
        key = _moment_key(raw) if raw.kind == "raw" else None
        if key is not None:
            seconds = [key[1] + timedelta(seconds=n) for n in (-1, 0, 1)]
            near = [s for second in seconds for s in stills.get((key[0], second), ())]
            found += [pair for still in near if (pair := _raw_jpeg(raw, still))]
    return _one_to_one(found)


def live_photo_pairs(shots: Sequence[Shot]) -> list[Pair]:
    """Each still with the video that carries the same content identifier."""
    videos = {s.exif.content_id: s for s in shots if s.kind == "video" and s.exif.content_id}
    pairs = []
    for still in shots:
        video = videos.get(still.exif.content_id or "")
        if video is None or still.kind == "video":
            continue
        evidence = ["both carry the same content identifier"]
        confidence = 0.97
        if _stem(still) == _stem(video):
            evidence.append(f"both files are called {_stem(still)}")
            confidence += 0.01
        if video.duration_s is not None and video.duration_s <= 5:
            evidence.append(f"the video is {video.duration_s:.1f} s long")
            confidence += 0.01
        ids = (still.photo_id, video.photo_id)
        pairs.append(Pair("live_photo", *ids, round(confidence, 2), tuple(evidence)))
    return pairs


def burst_pairs(shots: Sequence[Shot]) -> list[Pair]:
    """Each frame of a burst with the next one, by burst identifier or by time and content."""
    cameras: dict[str, list[Shot]] = defaultdict(list)
    for shot in shots:
        if shot.kind != "video" and _moment_key(shot):
            cameras[_camera(shot) or ""].append(shot)
    pairs = []
    for frames in cameras.values():
        frames.sort(key=lambda s: (_clock(s), s.photo_id))
        pairs += [pair for a, b in pairwise(frames) if (pair := _burst(a, b))]
    return pairs


def _raw_jpeg(raw: Shot, still: Shot) -> Pair | None:
    gap = abs(_clock(raw) - _clock(still))
    exact = bool(raw.exif.subsec and still.exif.subsec)
    same_instant = _same_subsec(raw.exif.subsec, still.exif.subsec) and gap < timedelta(seconds=1)
    settings = _same_settings(raw.exif, still.exif)
    bits = _distance(raw, still)
    stems = _stem(raw) == _stem(still)
    if (
        settings is False
        or gap > timedelta(seconds=1)
        or (exact and not same_instant and not stems)
    ):
        return None
    if bits is None and not (exact and same_instant and settings):
        return None
    if bits is not None and bits > _SAME_PICTURE_BITS:
        return None
    evidence = [f"same camera ({_camera(raw)})"]
    confidence = 0.6
    if exact and same_instant:
        evidence.append("same capture time to the fraction of a second")
        confidence += 0.2
    elif gap < timedelta(seconds=1):
        evidence.append("same capture time to the second")
        confidence += 0.1
    else:
        evidence.append("capture times one second apart")
    if bits is not None:
        evidence.append(f"pictures differ in {bits} of 256 bits")
        confidence += 0.1 * (1 - bits / (2 * _SAME_PICTURE_BITS))
    if settings:
        evidence.append("same exposure settings")
        confidence += 0.05
    if stems:
        evidence.append(f"both files are called {_stem(raw)}")
        confidence += 0.04
    return Pair(
        "raw_jpeg", raw.photo_id, still.photo_id, round(min(confidence, 0.99), 3), tuple(evidence)
    )


def _burst(a: Shot, b: Shot) -> Pair | None:
    gap = _clock(b) - _clock(a)
    bits = _distance(a, b)
    if _same_frame(a, b, gap, bits):
        return None
    if a.exif.burst_id and a.exif.burst_id == b.exif.burst_id:
        said = ("both carry the same burst identifier", f"{gap.total_seconds():.2f} s apart")
        return Pair("burst", a.photo_id, b.photo_id, 0.97, said)
    if a.exif.burst_id or b.exif.burst_id or _camera(a) is None:
        return None
    if gap > _BURST_GAP or bits is None or bits > _SAME_SCENE_BITS:
        return None
    evidence = (
        f"same camera ({_camera(a)})",
        f"{gap.total_seconds():.2f} s apart",
        f"pictures differ in {bits} of 256 bits",
    )
    confidence = 0.65 + 0.25 * (1 - bits / _SAME_SCENE_BITS)
    return Pair("burst", a.photo_id, b.photo_id, round(confidence, 3), evidence)


def _same_frame(a: Shot, b: Shot, gap: timedelta, bits: int | None) -> bool:
    """Two copies of one exposure are duplicates, not a burst."""
    if gap:
        return False
    both_exact = bool(a.exif.subsec and b.exif.subsec)
    return both_exact or (bits is not None and bits <= _SAME_FRAME_BITS)


def _one_to_one(candidates: list[Pair]) -> list[Pair]:
    """Best first, each photo once; a photo whose two best partners are as good stays alone."""
    best: dict[str, list[Pair]] = defaultdict(list)
    for pair in candidates:
        best[pair.first_id].append(pair)
        best[pair.second_id].append(pair)
    taken: set[str] = set()
    chosen = []
    for pair in sorted(candidates, key=lambda p: (-p.confidence, p.first_id, p.second_id)):
        ids = {pair.first_id, pair.second_id}
        rivals = [
            other
            for one in ids
            for other in best[one]
            if other is not pair
            and not ({other.first_id, other.second_id} & taken)
            and other.confidence > pair.confidence - _AMBIGUOUS
        ]
        if not ids & taken and not rivals:
            taken |= ids
            chosen.append(pair)
    return chosen


def _moment_key(shot: Shot) -> tuple[str, datetime] | None:
    """Camera and second of a shot whose own metadata says when it was taken."""
    known = shot.exif.captured_at is not None and shot.exif.captured_source in _CLOCK_SOURCES
    camera = _camera(shot)
    if not known or (camera is None and not shot.exif.burst_id):
        return None
    return camera or "", _clock(shot).replace(microsecond=0)


def _clock(shot: Shot) -> datetime:
    """What the camera's clock showed, so that files with and without a zone compare."""
    assert shot.exif.captured_at is not None
    return shot.exif.captured_at + timedelta(minutes=shot.exif.captured_offset_minutes or 0)


def _camera(shot: Shot) -> str | None:
    if not shot.exif.model:
        return None
    make = (shot.exif.make or "").split()
    model = shot.exif.model
    named = bool(make) and model.lower().startswith(make[0].lower())
    return " ".join([*([] if named else make[:1]), model]).lower()


def _same_subsec(a: str | None, b: str | None) -> bool:
    """Equal as far as both are written: "5", "50" and "500" mean the same half second."""
    return bool(a and b) and (a or "").rstrip("0") == (b or "").rstrip("0")


def _same_settings(a: Exif, b: Exif) -> bool | None:
    """Whether the exposure settings that both files state agree; None where there are none."""
    stated = [
        (x, y)
        for x, y in (
            (a.exposure_s, b.exposure_s),
            (a.f_number, b.f_number),
            (a.iso, b.iso),
            (a.focal_mm, b.focal_mm),
        )
        if x is not None and y is not None
    ]
    if not stated:
        return None
    return all(abs(x - y) <= 0.02 * max(abs(x), abs(y)) for x, y in stated)


def _distance(a: Shot, b: Shot) -> int | None:
    """PDQ bits that differ, None where a hash is missing or too poor to tell anything."""
    if a.hashes is None or b.hashes is None:
        return None
    if min(a.hashes.pdq_quality, b.hashes.pdq_quality) < _PDQ_MIN_QUALITY:
        return None
    return hamming(a.hashes.pdq, b.hashes.pdq)


def _stem(shot: Shot) -> str:
    return shot.uri.rsplit("/", 1)[-1].rsplit(".", 1)[0].lower()
