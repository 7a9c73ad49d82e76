from __future__ import annotations

from datetime import datetime

import pytest

from photoorg.search.dates import read_dates

NOW = datetime(2026, 11, 21, 15, 30)  # a Saturday


def day(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("said", "left", "after", "before"),
    [
        ("beach summer 2019", "beach", "2019-06-01", "2019-09-01"),
        ("winter of 2019 snow", "snow", "2019-12-01", "2020-03-01"),
        ("last summer", "", "2026-06-01", "2026-09-01"),
        ("last winter", "", "2025-12-01", "2026-03-01"),
        ("dogs last march", "dogs", "2026-03-01", "2026-04-01"),
        ("last december", "", "2025-12-01", "2026-01-01"),
        ("yesterday", "", "2026-11-20", "2026-11-21"),
        ("Anna yesterday", "Anna", "2026-11-20", "2026-11-21"),
        ("the day before yesterday", "", "2026-11-19", "2026-11-20"),
        ("3 weeks ago", "", "2026-10-26", "2026-11-02"),
        ("last week", "", "2026-11-09", "2026-11-16"),
        ("last weekend", "", "2026-11-14", "2026-11-16"),
        ("this month", "", "2026-11-01", "2026-12-01"),
        ("last month", "", "2026-10-01", "2026-11-01"),
        ("last year", "", "2025-01-01", "2026-01-01"),
        ("the last 10 days", "", "2026-11-11", "2026-11-22"),
        ("cat 12 may 2019", "cat", "2019-05-12", "2019-05-13"),
        ("May 12th, 2019", "", "2019-05-12", "2019-05-13"),
        ("in may", "", "2026-05-01", "2026-06-01"),
        ("party may 2018", "party", "2018-05-01", "2018-06-01"),
        ("trip 2017", "trip", "2017-01-01", "2018-01-01"),
        ("2019-05", "", "2019-05-01", "2019-06-01"),
        ("since 2020", "", "2020-01-01", None),
        ("before may 2018", "", None, "2018-05-01"),
        ("after 2019", "", "2020-01-01", None),
        ("from may 2018 to june 2019", "", "2018-05-01", "2019-07-01"),
        ("between june and august 2019 sea", "sea", "2019-06-01", "2019-09-01"),
        ("from 28 december to january 2020", "", "2019-12-28", "2020-02-01"),
        ("between 2015 and 2017 sea", "sea", "2015-01-01", "2018-01-01"),
        ("christmas 2016", "", "2016-12-24", "2016-12-27"),
        ("christmas", "", "2025-12-24", "2025-12-27"),
        ("3.5.2019", "", "2019-05-03", "2019-05-04"),
        ("25.12.2019 Baum", "Baum", "2019-12-25", "2019-12-26"),
        ("2019/05/03", "", "2019-05-03", "2019-05-04"),
        ("2019.05.03", "", "2019-05-03", "2019-05-04"),
        ("Strand Sommer 2019", "Strand", "2019-06-01", "2019-09-01"),
        ("Hund im Mai", "Hund", "2026-05-01", "2026-06-01"),
        ("letzten März", "", "2026-03-01", "2026-04-01"),
        ("letzte Woche", "", "2026-11-09", "2026-11-16"),
        ("3. Mai 2019 Garten", "Garten", "2019-05-03", "2019-05-04"),
        ("von Mai 2018 bis Juni 2019", "", "2018-05-01", "2019-07-01"),
        ("Anna gestern", "Anna", "2026-11-20", "2026-11-21"),
        ("plage été 2019", "plage", "2019-06-01", "2019-09-01"),
        ("chat 1er mars 2019", "chat", "2019-03-01", "2019-03-02"),
        ("le mois dernier", "le", "2026-10-01", "2026-11-01"),
        ("février 2018", "", "2018-02-01", "2018-03-01"),
        ("perro en mayo 2017", "perro", "2017-05-01", "2017-06-01"),
        ("İstanbul 2019", "İstanbul", "2019-01-01", "2020-01-01"),
    ],
)
def test_what_people_say_is_read_as_a_span_of_days(said, left, after, before):
    found = read_dates(said, NOW)
    assert found.span is not None, said
    assert (found.text, found.span.after, found.span.before) == (left, day(after), day(before))
    assert found.note.startswith('"')


@pytest.mark.parametrize(
    "said",
    [
        "protest march",
        "may red car",
        "sun over the sea",
        "second floor",
        "",
        "dog",
        "12 dogs",
        "rover on mars",
        "Foto von Anna",
        "Sommer am See",
        "42.13.2019",
    ],
)
def test_words_that_may_be_no_date_are_left_alone(said):
    assert read_dates(said, NOW).span is None and read_dates(said, NOW).text == said


def test_the_note_tells_the_days_it_means():
    assert read_dates("sea in summer 2019", NOW).note == (
        '"in summer 2019" was read as from 2019-06-01 to 2019-08-31 (the season of the north)'
    )
    assert read_dates("in Mai 2019", NOW).note == (
        '"in Mai 2019" was read as from 2019-05-01 to 2019-05-31'
    )


@pytest.mark.parametrize(
    ("now", "said", "after"),
    [
        (datetime(2026, 2, 10), "last march", "2025-03-01"),
        (datetime(2026, 3, 10), "last march", "2025-03-01"),
        (datetime(2026, 4, 10), "last march", "2026-03-01"),
        (datetime(2026, 1, 10), "last winter", "2024-12-01"),
        (datetime(2026, 7, 10), "last summer", "2025-06-01"),
        (datetime(2026, 3, 1), "yesterday", "2026-02-28"),
        (datetime(2024, 2, 29), "last year", "2023-01-01"),
    ],
)
def test_what_came_last_hangs_on_the_day_it_is_asked(now, said, after):
    assert read_dates(said, now).span.after == day(after)
