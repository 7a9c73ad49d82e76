"""Dates that people say ("summer 2019", "last march", "3 weeks ago") to spans of time.

The `dateparser` library reads single dates and relative ones; what it has no notion of (seasons,
"last march", from..to) is put around it here. Only words that are surely meant as a date are taken:
a bare "may" or "march" is left among the words. Months, days and seasons are understood in some
more languages than English (photoorg.search.date_words).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from photoorg.search.date_words import Told, in_english
from photoorg.search.filters import Span

MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december"
    "|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
)
DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
UNITS = "day|week|month|year"
NUMBERS = r"\d{1,3}|a|one|two|three|four|five|six|seven|eight|nine|ten|twelve"
YEAR = r"(?:19|20)\d{2}"
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""Meteorological seasons of the north; winter of a year begins in its December."""
FEASTS = {"christmas": (12, 24, 3), "new year's eve": (12, 31, 1), "halloween": (10, 31, 1)}
SINGLE = "|".join(
    (
        rf"(?:the )?(?:last|past) (?P<last_n>{NUMBERS}) (?P<last_unit>{UNITS})s",
        rf"(?:{NUMBERS}) (?:{UNITS})s? ago",
        r"(?:the )?day before yesterday",
        r"yesterday|today",
        rf"(?:last|past|this) (?:{UNITS}|weekend|{DAYS}|{MONTHS}|{'|'.join(SEASONS)})(?: {YEAR})?",
        rf"(?:the )?(?:{'|'.join(SEASONS)}) (?:of )?{YEAR}",
        rf"(?:{'|'.join(FEASTS)})(?: (?:of )?{YEAR})?",
        rf"{YEAR}-\d{{2}}(?:-\d{{2}})?",
        rf"{YEAR}/\d{{2}}/\d{{2}}|{YEAR}\.\d{{2}}\.\d{{2}}",
        r"\d{1,2}[./]\d{1,2}[./]\d{4}",
        rf"(?:the )?\d{{1,2}}(?:st|nd|rd|th|er|\.)? (?:of )?(?:{MONTHS})(?:,? {YEAR})?",
        rf"(?:{MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?(?:,? {YEAR})?(?!\d)",
        rf"(?:{MONTHS}),? (?:of )?{YEAR}",
        rf"{YEAR}",
    )
)
BOUND = rf"(?:{SINGLE}|{MONTHS}|{DAYS})"
NAMELESS = re.sub(r"\?P<\w+>", "?:", BOUND)
FROM_TO = re.compile(
    rf"\b(?:between|from) (?P<start>{NAMELESS}) (?:and|to|until|till) (?P<end>{NAMELESS})\b"
)
ONE = re.compile(
    rf"\b(?:(?P<how>since|after|before|until|in|during|from|on|of) )?(?:the )?"
    rf"(?P<date>{re.sub(r'[?]P<[a-z_]+>', '?:', SINGLE)})\b"
)
BARE = re.compile(rf"\b(?P<how>since|after|before|in|during|from|on) (?P<date>{MONTHS}|{DAYS})\b")
LAST_N = re.compile(rf"(?:the )?(?:last|past) (?P<n>{NUMBERS}) (?P<unit>{UNITS})s")
SAID = dict(zip("a one two three four five six seven eight nine ten twelve".split(),
                (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12), strict=True))  # fmt: skip
DOTTED = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})")
UNIT_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
Moments = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class DatedText:
    """A question without its date: `text` is what is left, `span` the time meant, `note` why."""

    text: str
    span: Span | None = None
    note: str = ""


def read_dates(text: str, now: datetime) -> DatedText:
    """Take the first date out of a question; `now` is what the clock on the wall shows.

    A question without one is given back as it is. Spans begin and end at midnight of the wall
    clock where a photo was taken.
    """
    told = in_english(text)
    plain = told.text
    now = now.replace(tzinfo=None)
    if (found := FROM_TO.search(plain)) is not None:
        first, last = _both(found["start"], found["end"], now)
        if first is not None and last is not None and first[0] < last[1]:
            return _taken_out(text, told, found, Span(after=first[0], before=last[1]))
    for pattern in (ONE, BARE):
        for found in pattern.finditer(plain):
            moments = _moments(found["date"], now)
            if moments is not None:
                return _taken_out(text, told, found, _span(found["how"], moments))
    return DatedText(text)


def _taken_out(text: str, told: Told, found: re.Match[str], span: Span) -> DatedText:
    begin, end = told.span(*found.span())
    left = " ".join((text[:begin] + " " + text[end:]).split())
    said = text[begin:end]
    north = " (the season of the north)" if any(s in found[0] for s in SEASONS) else ""
    after = None if span.after is None else f"from {span.after:%Y-%m-%d}"
    before = None
    if span.before is not None:
        before = f"to {span.before - timedelta(days=1):%Y-%m-%d}"
    days = " ".join(filter(None, (after, before)))
    return DatedText(left, span, f'"{said}" was read as {days}{north}')


def _span(how: str | None, moments: Moments) -> Span:
    start, end = moments
    if how in ("since", "after"):
        return Span(after=start if how == "since" else end)
    if how in ("before", "until"):
        return Span(before=start if how == "before" else end)
    return Span(after=start, before=end)


def _moments(said: str, now: datetime) -> Moments | None:
    """Start and end of what one phrase means, None if it means no date."""
    said = said.removeprefix("the ")
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if (counted := LAST_N.fullmatch(said)) is not None:
        n = SAID.get(counted["n"]) or int(counted["n"])
        return today - timedelta(days=n * UNIT_DAYS[counted["unit"]]), today + timedelta(days=1)
    which, _, rest = said.partition(" ")
    if which in ("last", "past", "this"):
        return _relative(which == "this", rest, today)
    year = re.search(YEAR, said)
    for season, month in SEASONS.items():
        if said.startswith(season):
            return _season(int(year[0]), month) if year else None
    for feast, (month, day, days) in FEASTS.items():
        if said.startswith(feast):
            start = datetime(int(year[0]) if year else today.year, month, day)
            if year is None and start > today:
                start = start.replace(year=start.year - 1)
            return start, start + timedelta(days=days)
    if said == "day before yesterday":
        said = "2 days ago"
    return _parsed(said, now)


def _relative(this: bool, what: str, today: datetime) -> Moments | None:
    """What "this" or "last" something is: the one under way, or the one that ended last."""
    monday = today - timedelta(days=today.weekday())
    if what == "week":
        start = monday - timedelta(days=0 if this else 7)
        return start, start + timedelta(days=7)
    if what == "weekend":
        saturday = monday + timedelta(days=5 if this else -2)
        return saturday, saturday + timedelta(days=2)
    if what == "day":
        return (today if this else today - timedelta(days=1)), today + timedelta(days=int(this))
    if what in ("month", "year"):
        start = today.replace(day=1) if what == "month" else today.replace(month=1, day=1)
        end = _next(start, what)
        return (start, end) if this else (_next(start - timedelta(days=1), what, back=True), start)
    name = what.split()[0]
    if re.search(YEAR, what):
        return _parsed(what, today)
    if name in SEASONS:
        start, end = _season(today.year, SEASONS[name])
        # Last summer is over; this one may be under way, and begins this year.
        while not this and end > today:
            start, end = _season(start.year - 1, SEASONS[name])
        return start, end
    found = _parsed(what, today)
    if found is None:
        return None
    if re.fullmatch(DAYS, name):
        return (
            (found[0] + timedelta(days=7), found[1] + timedelta(days=7))
            if (this and found[0] < monday)
            else found
        )
    start = datetime(today.year, found[0].month, 1)
    if not this and start >= today.replace(day=1):
        start = start.replace(year=start.year - 1)
    return start, _next(start, "month")


def _both(start: str, end: str, now: datetime) -> tuple[Moments | None, Moments | None]:
    """What "from start to end" means: a start without a year lies in the year before the end."""
    first, last = _moments(start, now), _moments(end, now)
    year = re.search(YEAR, end)
    if year and last is not None and re.search(MONTHS, start) and not re.search(YEAR, start):
        first = _moments(f"{start} {year[0]}", now)
        if first is not None and first[0] >= last[1]:
            first = _moments(f"{start} {int(year[0]) - 1}", now)
    return first, last


def _season(year: int, month: int) -> Moments:
    start = datetime(year, month, 1)
    end = datetime(year + (month > 9), (month + 2) % 12 + 1, 1)
    return start, end


def _next(start: datetime, unit: str, *, back: bool = False) -> datetime:
    """The first of the next month or year; with `back` that of the one `start` lies in."""
    if unit == "year":
        return datetime(start.year + (not back), 1, 1)
    if back:
        return start.replace(day=1)
    return (start.replace(day=1) + timedelta(days=32)).replace(day=1)


def _parsed(said: str, now: datetime) -> Moments | None:
    """A date as dateparser reads it, as long as it is precise: a day, week, month or year.

    With points between them numbers are a day, a month and a year: nobody writes the month first.
    """
    if (numbers := DOTTED.fullmatch(said)) is not None:
        try:
            day = datetime(int(numbers["year"]), int(numbers["month"]), int(numbers["day"]))
        except ValueError:
            return None
        return day, day + timedelta(days=1)
    if re.match(YEAR, said):
        said = re.sub(r"[/.]", "-", said)
    said = re.sub(r"^(\d{1,2})(?:er|\.) ", r"\1 ", said)
    data = _parser(now).get_date_data(said)
    if data.date_obj is None:
        return None
    start = data.date_obj.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    if data.period == "year":
        start = start.replace(month=1, day=1)
        return start, _next(start, "year")
    if data.period == "month":
        start = start.replace(day=1)
        return start, _next(start, "month")
    if data.period == "week":
        start -= timedelta(days=start.weekday())
        return start, start + timedelta(days=7)
    return start, start + timedelta(days=1)


def _parser(now: datetime) -> Any:
    # Loading its languages takes a second: not before somebody says a date.
    from dateparser.date import DateDataParser

    settings = {
        "RELATIVE_BASE": now,
        "PREFER_DATES_FROM": "past",
        "PREFER_DAY_OF_MONTH": "first",
        "PREFER_MONTH_OF_YEAR": "first",
    }
    return DateDataParser(languages=["en"], settings=settings)
