"""Labelled event lists: a JSON list of {"file", "time", "lat", "lon", "event"}."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from photoorg.curate.timeline import Shot
from photoorg.errors import InputError, NotFoundError

EXIF_DATE = re.compile(r"^(\d{4})[:/](\d{2})[:/](\d{2})")
ITEM = 'Give a list of {"file", "time", "lat", "lon", "event"}; all but file may be null.'
KEYS = {"file", "time", "lat", "lon", "event"}


def read_labelled(path: Path) -> tuple[list[Shot], list[str | None]]:
    """The photos of the file and the event of each, None where it is in none.

    `lat`, `lon` and `event` may be null or missing, and so may `time`: ISO 8601 or EXIF text, or
    seconds since 1970. `camera` or `make` and `model` are used where given. NotFoundError and
    InputError name the file and the row that is wrong.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", fix="Check the path.") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(
            f"{path} cannot be read: {why}.", fix="Give a JSON file that you may read."
        ) from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}.", fix=ITEM) from None
    if not isinstance(rows, list):
        raise InputError(
            f"{path} must hold a JSON list.",
            fix=ITEM,
        )
    _require_labels(path, rows)
    shots, events = [], []
    for number, row in enumerate(rows):
        try:
            shots.append(_shot(row))
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{path}, item {number}: {error}.", fix=ITEM) from None
        event = row.get("event")
        events.append(None if event is None or event == "" else str(event))
    return shots, events


def _require_labels(path: Path, rows: list[Any]) -> None:
    """InputError unless some item says when it was taken or where, and some item has an event."""
    items = [row for row in rows if isinstance(row, Mapping)]
    if len(items) < len(rows):
        return  # told with the number of the item
    keys = sorted({str(key) for row in items for key in row})
    said = f"its keys are {', '.join(keys[:12])}" if keys else "it is empty"
    if not {"file", "time"} & set(keys):
        raise InputError(f"{path} names no photos: {said}.", fix=ITEM)
    if all(row.get("event") in (None, "") for row in items):
        raise InputError(f"No photo of {path} has an event to compare with: {said}.", fix=ITEM)


def _shot(row: Any) -> Shot:
    if not isinstance(row, Mapping):
        raise ValueError("not an object with the keys " + ", ".join(sorted(KEYS)))
    taken, offset = parse_time(row.get("time"))
    camera = row.get("camera") or " ".join(str(row[k]) for k in ("make", "model") if row.get(k))
    return Shot(
        name=str(row.get("file") or ""),
        taken=taken,
        offset_minutes=offset,
        source="none" if taken is None else "offset" if offset is not None else "exif_local",
        latitude=_degrees(row.get("lat")),
        longitude=_degrees(row.get("lon")),
        camera=str(camera),
    )


def parse_time(value: Any) -> tuple[datetime | None, float | None]:
    """Local time without a zone and the zone's minutes from UTC, as far as the value tells."""
    if value is None or value == "":
        return None, None
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is no time")
    if isinstance(value, int | float):
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)
        return moment.replace(tzinfo=None), None
    text = EXIF_DATE.sub(r"\1-\2-\3", str(value).strip())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{value!r} is no time (use 2024-05-01T12:30:00)") from None
    offset = moment.utcoffset()
    minutes = None if offset is None else offset / timedelta(minutes=1)
    return moment.replace(tzinfo=None), minutes


def _degrees(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value)
