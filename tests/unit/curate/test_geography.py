from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from photoorg.curate.geography import (
    Place,
    gazetteer,
    home,
    kinds,
    middle_longitude,
    place_name,
)
from photoorg.curate.titles import coordinates, dates, title, trip_title

DAY = 86_400.0
LISBON = Place("Lisbon", "Lisbon", "Portugal", 1.0)
PORTO = Place("Porto", "Porto", "Portugal", 1.0)


def test_home_is_where_most_days_are():
    days = np.arange(60) * DAY
    lat = np.where(np.arange(60) % 6 == 0, 41.9, 48.1)
    found = home(lat, np.full(60, 11.5), days)
    assert found == (48.1, 11.5)
    assert home(lat[:3], np.full(3, 11.5), days[:3]) is None
    assert home(np.full(60, np.nan), np.full(60, np.nan), days) is None


def test_a_stay_away_over_days_is_a_trip_and_one_day_is_not():
    lat = np.array([48.1, 41.9, np.nan, 41.9, 48.1, 47.0, 48.1])
    starts = np.array([0, 2, 2.5, 3, 5, 7, 9]) * DAY
    kind, trip = kinds(lat, np.full(7, 11.5), starts, starts + 3600, (48.1, 11.5), 30.0)
    assert kind == ["home", "trip", "trip", "trip", "home", "away", "home"]
    assert trip.tolist() == [-1, 0, 0, 0, -1, -1, -1]
    assert kinds(lat, lat, starts, starts, None, 30.0)[0] == ["unknown"] * 7


def test_places_are_told_at_the_level_they_share():
    assert place_name([LISBON, LISBON, PORTO]) == "Lisbon"
    assert place_name([LISBON, PORTO]) == "Portugal"
    assert place_name([None, None]) is None


def test_titles_tell_dates_and_places_but_not_of_home():
    start, end = datetime(2024, 5, 3, 9), datetime(2024, 5, 3, 18)
    assert title(start, end, "Lisbon", "away") == "Lisbon, 3 May 2024"
    assert title(start, end, "Munich", "home") == "Friday, 3 May 2024"
    assert title(None, None, None, "unknown") == "Undated"
    assert dates(start, datetime(2024, 6, 1)) == "3 May to 1 June 2024"
    assert dates(start, datetime(2025, 1, 1)) == "3 May 2024 to 1 January 2025"
    assert (
        trip_title(start, datetime(2024, 5, 9), "Portugal") == "Trip to Portugal, 3 to 9 May 2024"
    )
    assert coordinates(-1.5, 2.25) == "1.50° S, 2.25° E"


def test_the_offline_gazetteer_names_cities_and_not_the_sea():
    names = gazetteer()
    if names is None:
        pytest.skip("the package reverse-geocode is not installed")
    melbourne, ocean = names.name(np.array([-37.81, -45.0]), np.array([144.96, -120.0]))
    assert (melbourne.city, melbourne.country, ocean) == ("Melbourne", "Australia", None)


def test_places_on_both_sides_of_the_date_line_are_near_each_other():
    assert middle_longitude(np.array([179.0, -179.0, np.nan])) == 180.0
    assert middle_longitude(np.array([179.9, -179.9, -179.7])) == pytest.approx(-179.9)
    assert middle_longitude(np.array([10.0, 20.0, 60.0])) == 20.0
    assert np.isnan(middle_longitude(np.array([np.nan])))
    days = np.arange(60) * DAY
    lon = np.where(np.arange(60) % 2 == 0, 179.99, -179.99)
    found = home(np.full(60, -16.8), lon, days)
    assert found is not None and abs(found[1]) > 179.9
