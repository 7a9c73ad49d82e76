"""What events are called until somebody gives them a name: a place and dates, in English."""

from __future__ import annotations

from datetime import datetime

MONTHS = (
    "January February March April May June July August September October November December"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def title(start: datetime | None, end: datetime | None, place: str | None, kind: str) -> str:
    """`Lisbon, 3 May 2024`; the days of home are told by their date alone."""
    when = dates(start, end)
    if kind == "home" or place is None:
        if start is not None and end is not None and start.date() == end.date():
            return f"{WEEKDAYS[start.weekday()]}, {when}"
        return when
    return f"{place}, {when}" if start is not None else place


def trip_title(start: datetime, end: datetime, place: str | None) -> str:
    """`Trip to Portugal, 3 to 9 May 2024`."""
    return f"Trip to {place}, {dates(start, end)}" if place else f"Trip, {dates(start, end)}"


def dates(start: datetime | None, end: datetime | None) -> str:
    """One day or a range of days, without repeating month and year."""
    if start is None or end is None:
        return "Undated"
    if start.date() == end.date():
        return _day(start)
    if (start.year, start.month) == (end.year, end.month):
        return f"{start.day} to {_day(end)}"
    if start.year == end.year:
        return f"{start.day} {MONTHS[start.month - 1]} to {_day(end)}"
    return f"{_day(start)} to {_day(end)}"


def coordinates(latitude: float, longitude: float) -> str:
    """A place told by its position, to about a kilometre."""
    north, east = ("N" if latitude >= 0 else "S"), ("E" if longitude >= 0 else "W")
    return f"{abs(latitude):.2f}° {north}, {abs(longitude):.2f}° {east}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"
