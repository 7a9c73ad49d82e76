"""Event detection on made-up and degenerate libraries."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.events import LIVES, fixed_gap, journeys, make
from photoorg.curate.events import Detected, detect
from photoorg.curate.labelled import read_labelled
from photoorg.curate.timeline import Shot, timeline
from photoorg.curation_config import EventsConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.evaluate.clustering import scores

CONFIG = EventsConfig()
NOON = datetime(2024, 5, 1, 12)
NOW = datetime(2025, 1, 1)


def found(shots: list[Shot], x_nd: np.ndarray | None = None) -> Detected:
    return detect(timeline(shots, NOW), CONFIG, x_nd)


def at(minutes: float, name: str = "", **more) -> Shot:
    return Shot(name, NOON + timedelta(minutes=minutes), **more)


@pytest.mark.parametrize("life", LIVES, ids=[life.name for life in LIVES])
def test_events_of_every_kind_of_life_are_found(life):
    shots, truth = make(life, 40, 11)
    ours = scores(truth, found(shots).event_n.tolist()).pairwise_f1
    assert ours >= 0.95
    assert ours >= scores(truth, fixed_gap(shots, 4 * 3600)).pairwise_f1 - 0.01


def test_a_camera_clock_that_is_off_is_put_right_and_a_right_one_left_alone():
    shots, _ = make(LIVES[0], 40, 5)
    (shift,) = [s for s in found(shots).shifts if s.trusted]
    assert abs(shift.seconds + LIVES[0].clock_h * 3600) <= 1_800
    rng = np.random.default_rng(0)
    right = [
        at(day * 2_000 + float(rng.uniform(0, 120)), f"{'IMG_' if n % 2 else 'DSC'}{n:04d}.jpg")
        for day in range(30)
        for n in range(day * 20, day * 20 + 20)
    ]
    assert found(right).shifts == ()


def test_cameras_never_used_together_say_nothing_of_their_clocks():
    rng = np.random.default_rng(3)
    shots = []
    for day in range(40):
        name = "IMG_" if day < 20 else "DSC"
        start = day * 4_000 + float(rng.uniform(0, 600))
        shots += [at(start + 3 * n, f"{name}{day * 20 + n:05d}.jpg") for n in range(20)]
    assert found(shots).shifts == ()


def test_an_empty_library_has_no_events():
    assert len(found([]).event_n) == 0


def test_fifty_thousand_photos_in_one_second_are_one_event():
    assert set(found([at(0, f"a{n}.jpg") for n in range(50_000)]).event_n.tolist()) == {0}


def test_photos_without_any_exif_land_by_folder():
    events = found([Shot(f"/{'ab'[n % 2]}/{n}.jpg", source="none") for n in range(100)]).event_n
    assert set(events[::2]) != set(events[1::2]) and len(set(events.tolist())) == 2


def test_position_nought_nought_is_no_place():
    shots = [at(n, latitude=0.0 if n % 2 else 48.1, longitude=0.0 if n % 2 else 11.5)
             for n in range(40)]  # fmt: skip
    assert set(found(shots).event_n.tolist()) == {0}


@pytest.mark.parametrize("year", [1970, 2099])
def test_photos_of_impossible_years_go_with_their_neighbours_in_number(year):
    shots = [at(n * 5 + (n >= 20) * 3_000, f"IMG_{n:04d}.jpg") for n in range(40)]
    for n in (7, 30):
        shots[n] = Shot(shots[n].name, datetime(year, 1, 2, 3))
    events = found(shots).event_n
    assert (events[7], events[30]) == (events[6], events[31]) and events[6] != events[31]


def test_a_photo_of_unknown_time_goes_where_all_photos_of_its_place_are():
    near, far = {"latitude": 48.1, "longitude": 11.5}, {"latitude": 41.9, "longitude": 12.5}
    shots = [at(n * 5, **near) for n in range(10)] + [at(9_000 + n * 5, **far) for n in range(10)]
    events = found([*shots, Shot(source="none", **far)]).event_n
    assert events[-1] == events[-2] != events[0]


def test_two_cities_at_once_are_two_events():
    munich, rome = {"latitude": 48.1, "longitude": 11.5}, {"latitude": 41.9, "longitude": 12.5}
    shots = [at(n, camera="A B"[n % 2 :: 2], **(munich if n % 2 else rome)) for n in range(60)]
    events = found(shots).event_n
    assert set(events[::2]).isdisjoint(events[1::2]) and len(set(events.tolist())) == 2


def test_what_is_seen_tips_the_scale():
    shots = [at(n * 5 + (n >= 10) * 105) for n in range(20)]
    same = np.tile(np.eye(8, dtype=np.float32)[0], (20, 1))
    other = same.copy()
    other[10:] = np.eye(8, dtype=np.float32)[1]
    pause = [len(set(found(shots, x).event_n.tolist())) for x in (same, other)]
    assert pause[0] <= pause[1]


SHOTS = st.builds(
    Shot,
    name=st.sampled_from(["", "IMG_0001.jpg", "a/IMG_0002.jpg", "x" * 30, "2024/9999999999.jpg"]),
    taken=st.none() | st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    offset_minutes=st.none() | st.sampled_from([-720, 0, 60, 840]),
    source=st.sampled_from(["none", "file", "gps", "exif_local", "offset"]),
    latitude=st.none() | st.sampled_from([0.0, 48.1, 90.0, -91.0, 1e9]),
    longitude=st.none() | st.sampled_from([0.0, 11.5, -180.0, 181.0]),
    camera=st.sampled_from(["", "Maker One", "Maker Two"]),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(SHOTS, max_size=40))
def test_every_photo_lands_in_one_event_whatever_it_says(shots):
    events = found(shots).event_n
    assert len(events) == len(shots)
    assert sorted(set(events.tolist())) == list(range(len(set(events.tolist()))))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10_000), min_size=2, max_size=60), st.randoms())
def test_the_order_of_the_photos_does_not_matter(minutes, random):
    shots = [at(m) for m in minutes]
    order = list(range(len(shots)))
    random.shuffle(order)
    first, second = found(shots).event_n, found([shots[i] for i in order]).event_n
    assert [first[i] for i in order] == second.tolist()


def test_labelled_lists_are_read_with_all_their_gaps(tmp_path):
    file = tmp_path / "a.json"
    rows = [
        {"file": "a.jpg", "time": "2024:05:01 12:00:00", "lat": None, "lon": None, "event": "x"},
        {"file": "b.jpg", "time": "2024-05-01T12:00:00+02:00", "lat": 1, "lon": 2, "event": None},
        {"file": "c.jpg", "time": 1_714_564_800, "lat": 0, "lon": 0},
        {"file": "d.jpg", "time": None, "event": 3},
    ]
    file.write_text(json.dumps(rows), encoding="utf-8-sig")
    shots, truth = read_labelled(file)
    assert truth == ["x", None, None, "3"]
    assert [s.taken for s in shots] == [NOON, NOON, NOON, None]
    assert shots[1].offset_minutes == 120


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "[3]",
        '[{"time": "noon", "event": 1}]',
        '[{"file": "a", "lat": "north", "event": 1}]',
        '[{"name": "a.jpg", "when": "2024-05-01", "event": 1}]',
        '[{"file": "a.jpg", "time": "2024-05-01", "label": 1}]',
        '[{"file": "a.jpg", "time": "2024-05-01", "event": null}, {"event": ""}]',
        "nope",
    ],
)
def test_lists_that_cannot_be_read_say_where(tmp_path, text):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(InputError, match=r"bad\.json"):
        read_labelled(file)
    with pytest.raises(NotFoundError):
        read_labelled(tmp_path / "nowhere.json")


@pytest.mark.data
@pytest.mark.parametrize(("name", "key"), [("cdt_exif.json", "dto")])
def test_a_real_track_comes_apart_into_days(shared_data, name, key):
    rows = json.loads((shared_data / "events" / name).read_text())
    shots = [
        Shot(r["file"], datetime.strptime(r[key], "%Y:%m:%d %H:%M:%S"), None, "exif_local",
             r["lat"], r["lon"], r["model"] or "")
        for r in rows if r[key]
    ]  # fmt: skip
    days = len({s.taken.date() for s in shots})
    assert days / 2 <= len(set(found(shots).event_n.tolist())) <= 2 * days


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("zone", [9, 5.5, -5])
def test_a_camera_that_keeps_the_time_of_home_on_journeys_is_put_right(zone, told):
    for seed in range(3):
        shots, truth = journeys(zone, told=told, seed=seed)
        detected = found(shots)
        assert scores(truth, detected.event_n.tolist()).pairwise_f1 >= 0.97
        (shift,) = detected.shifts
        assert shift.seconds == pytest.approx((zone - 1) * 3600, abs=1800)
        off = [
            replace(shot, taken=shot.taken + timedelta(hours=1.3)) if not shot.latitude else shot
            for shot in shots
        ]
        assert scores(truth, found(off).event_n.tolist()).pairwise_f1 >= 0.95


@pytest.mark.parametrize("how", [{"set_anew": True}, {"set_anew": True, "apart": True}])
@pytest.mark.parametrize("told", [True, False])
def test_a_camera_that_is_set_on_journeys_is_left_alone(how, told):
    for seed in range(3):
        shots, truth = journeys(9, told=told, seed=seed, **how)
        detected = found(shots)
        assert detected.shifts == ()
        assert scores(truth, detected.event_n.tolist()).pairwise_f1 >= 0.97
