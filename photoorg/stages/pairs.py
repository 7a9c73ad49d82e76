"""After an ingest: find what belongs together among the new photos and their neighbours in time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from photoorg.imaging.pairing import Shot, ShotKind, find_pairs
from photoorg.imaging.sniff import is_raw
from photoorg.models import Photo
from photoorg.store.catalog import Catalog, pairs

NEAR_S = 2.0
"""Pairing looks at most one second around a photo; two cover rounding on both sides."""


def pair_photos(catalog: Catalog, tenant: str, run_ids: Sequence[str]) -> int:
    """Find and record the pairs of the runs' photos; how many there are."""
    count = 0
    with catalog.tenant(tenant) as reading, catalog.tenant(tenant) as writing:
        for moment in _moments(pairs.taken_near(reading, run_ids, NEAR_S)):
            found = find_pairs(_shot(photo) for photo in moment)
            pairs.store(
                writing,
                [
                    pairs.StoredPair(p.kind, p.first_id, p.second_id, p.confidence, p.evidence)
                    for p in found
                ],
            )
            count += len(found)
    return count


def _moments(photos: Iterable[Photo]) -> Iterator[list[Photo]]:
    """Runs of photos with no gap above NEAR_S, of at least two: nothing pairs across a gap."""
    moment: list[Photo] = []
    for photo in photos:
        if moment and _taken(photo, moment[-1]) > timedelta(seconds=NEAR_S):
            if len(moment) > 1:
                yield moment
            moment = []
        moment.append(photo)
    if len(moment) > 1:
        yield moment


def _taken(later: Photo, earlier: Photo) -> timedelta:
    assert later.exif.captured_at is not None and earlier.exif.captured_at is not None
    return later.exif.captured_at - earlier.exif.captured_at


def _shot(photo: Photo) -> Shot:
    kind: ShotKind = "raw" if is_raw(photo.mime) else "still"
    return Shot(photo.photo_id, photo.uri, kind, photo.mime, photo.exif, photo.hashes)
