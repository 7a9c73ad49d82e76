import struct
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.imaging import tiff
from photoorg.imaging.captured import parse_offset, parse_time, time_in_name
from photoorg.imaging.exif import read_exif
from photoorg.models import Exif
from tests.unit.imaging.files import apple_note, exif_block

ORIGINAL, OFFSET_ORIGINAL, OFFSET, OFFSET_DIGITIZED = 0x9003, 0x9011, 0x9010, 0x9012
WHEN = {ORIGINAL: (2, "2021:05:06 17:08:09")}
LOCAL = datetime(2021, 5, 6, 17, 8, 9, tzinfo=UTC)


def fix(hour: int, minute: int, second: int = 0, day: str = "2021:05:06"):
    return {0x0007: (5, [(hour, 1), (minute, 1), (second, 1)]), 0x001D: (2, day)}


def place(lat, lat_ref, lon, lon_ref):
    return {1: (2, lat_ref), 2: (5, lat), 3: (2, lon_ref), 4: (5, lon)}


BERLIN = ([(52, 1), (31, 1), (12, 1)], "N", [(13, 1), (24, 1), (18, 1)], "E")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_camera_and_exposure_are_read_in_both_byte_orders(order, prefix):
    block = exif_block(
        {0x010F: (2, "Canon"), 0x0110: (2, "EOS R5"), 0x0131: (2, "1.2"), 0x0112: (3, 6)},
        {
            0x829A: (5, [(1, 250)]),
            0x829D: (5, [(28, 10)]),
            0x8827: (3, 400),
            0x920A: (5, [(35, 1)]),
            0xA434: (2, "RF35mm F1.8"),
            0x9291: (2, "042"),
            **WHEN,
        },
        order=order,
    )
    exif = read_exif(prefix + block)
    assert (exif.make, exif.model, exif.software, exif.orientation) == ("Canon", "EOS R5", "1.2", 6)
    assert (exif.exposure_s, exif.f_number, exif.iso, exif.focal_mm) == (0.004, 2.8, 400, 35.0)
    assert (exif.lens, exif.subsec) == ("RF35mm F1.8", "042")
    assert exif.captured_at == LOCAL + timedelta(milliseconds=42)


def test_nul_bytes_and_blanks_are_stripped():
    exif = read_exif(exif_block({0x010F: (2, b"\0 Canon \0\0junk\0"), 0x0110: (2, b"\0\0\0\0\0")}))
    assert (exif.make, exif.model) == ("Canon", None)


def test_wrong_types_and_zero_denominators_become_none():
    exif = read_exif(
        exif_block(
            {0x010F: (3, 7), 0x0112: (2, "upright"), 0x0132: (4, 5)},
            {0x829A: (5, [(1, 0)]), 0x829D: (2, "f/2"), 0x8827: (2, "ISO"), 0x920A: (5, [(0, 0)])},
            {1: (3, 1), 2: (2, "52 N"), 3: (2, "E"), 4: (5, [(13, 0), (1, 1), (1, 1)])},
        )
    )
    assert exif == Exif()


def test_apex_values_and_lens_specification_stand_in():
    exif = read_exif(
        exif_block(
            {},
            {
                0x9201: (10, [(8, 1)]),
                0x9202: (5, [(4, 1)]),
                0x8827: (3, 65_535),
                0x8832: (4, 102_400),
                0xA432: (5, [(24, 1), (70, 1), (28, 10), (28, 10)]),
            },
        )
    )
    assert (exif.exposure_s, exif.f_number, exif.iso) == (2**-8, 4.0, 102_400)
    assert exif.lens == "24-70mm f/2.8"


def test_position_in_every_hemisphere():
    lat, lon = 52 + 31 / 60 + 12 / 3600, 13 + 24 / 60 + 18 / 3600
    for north, east in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        gps = place(BERLIN[0], "N" if north > 0 else "S", BERLIN[2], "E" if east > 0 else "W")
        exif = read_exif(exif_block({}, {}, gps))
        assert exif.latitude == pytest.approx(north * lat)
        assert exif.longitude == pytest.approx(east * lon)


@pytest.mark.parametrize(
    "gps",
    [
        place([(0, 1)] * 3, "N", [(0, 1)] * 3, "E"),
        place([(91, 1), (0, 1), (0, 1)], "N", BERLIN[2], "E"),
        place(BERLIN[0], "N", [(181, 1), (0, 1), (0, 1)], "E"),
        place([(90, 1), (30, 1), (0, 1)], "N", BERLIN[2], "E"),
        place([(52, 1), (75, 1), (0, 1)], "N", BERLIN[2], "E"),
        place([(52, 1), (31, 0), (0, 1)], "N", BERLIN[2], "E"),
        place([(1, 52), (31, 1), (12, 1)], "N", BERLIN[2], "E"),
        place(BERLIN[0], "X", BERLIN[2], "E"),
        {2: (5, BERLIN[0]), 4: (5, BERLIN[2])},
        {1: (2, "N"), 2: (5, BERLIN[0])},
    ],
)
def test_impossible_positions_are_none(gps):
    exif = read_exif(exif_block({}, {}, gps))
    assert (exif.latitude, exif.longitude) == (None, None)


def test_equator_and_decimal_degrees_are_positions():
    gps = place([(0, 1), (0, 1), (0, 1)], "N", [(1_234_567, 100_000)], "W")
    exif = read_exif(exif_block({}, {}, gps))
    assert (exif.latitude, exif.longitude) == (0.0, pytest.approx(-12.34567))


def test_altitude_below_the_sea_is_negative():
    for reference, expected in ((0, 430.5), (1, -430.5)):
        gps = {5: (1, bytes([reference])), 6: (5, [(861, 2)])}
        assert read_exif(exif_block({}, {}, gps)).altitude_m == expected


@pytest.mark.parametrize(
    ("exif", "gps", "source", "at", "minutes"),
    [
        (
            {**WHEN, OFFSET_ORIGINAL: (2, "+02:00"), OFFSET: (2, "+05:00")},
            fix(9, 0),
            "offset_original",
            LOCAL - timedelta(hours=2),
            120,
        ),
        ({**WHEN, OFFSET: (2, "-03:30")}, fix(9, 0), "offset", LOCAL + timedelta(hours=3.5), -210),
        ({**WHEN, OFFSET_DIGITIZED: (2, "Z")}, {}, "offset", LOCAL, 0),
        (
            {ORIGINAL: (2, "2021:05:06 17:08:09+0200")},
            {},
            "offset",
            LOCAL - timedelta(hours=2),
            120,
        ),
        (WHEN, fix(15, 8, 1), "gps", LOCAL - timedelta(hours=2), 120),
        (WHEN, fix(11, 22, 55), "gps", LOCAL - timedelta(hours=5.75), 345),
        (WHEN, fix(15, 0, 1), "gps", LOCAL - timedelta(hours=2), 120),
        (WHEN, fix(3, 0, 0, "2019:01:01"), "gps", datetime(2019, 1, 1, 3, tzinfo=UTC), None),
        ({}, fix(3, 4, 5), "gps", datetime(2021, 5, 6, 3, 4, 5, tzinfo=UTC), None),
        (WHEN, {}, "exif_local", LOCAL, None),
        ({**WHEN, OFFSET_ORIGINAL: (2, "   :  ")}, {}, "exif_local", LOCAL, None),
        ({**WHEN, OFFSET_ORIGINAL: (2, "+25:00")}, {}, "exif_local", LOCAL, None),
    ],
)
def test_capture_time_follows_the_best_source(exif, gps, source, at, minutes):
    found = read_exif(
        exif_block({}, exif, gps),
        filename="IMG_20000101_000000.jpg",
        file_time=datetime(2001, 1, 1, tzinfo=UTC),
    )
    assert (found.captured_source, found.captured_at) == (source, at)
    assert found.captured_offset_minutes == minutes


def test_without_exif_the_name_and_then_the_file_tell_the_time():
    modified = datetime(2022, 3, 4, 5, 6, tzinfo=UTC)
    named = read_exif(b"", filename="IMG_20190512_143015.jpg", file_time=modified)
    assert named.captured_at == datetime(2019, 5, 12, 14, 30, 15, tzinfo=UTC)
    assert named.captured_source == "filename"
    filed = read_exif(b"", filename="holiday.jpg", file_time=modified)
    assert (filed.captured_at, filed.captured_source) == (modified, "file")
    assert read_exif(b"", filename="holiday.jpg") == Exif()


def test_digitized_and_changed_time_stand_in_for_the_original():
    block = exif_block({0x0132: (2, "2020:01:02 03:04:05")}, {ORIGINAL: (2, "0000:00:00 00:00:00")})
    assert read_exif(block).captured_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "0000:00:00 00:00:00",
        "1970:01:01 00:00:00",
        "1970:01:01 01:00:00",
        "    :  :     :  :  ",
        "2021:13:01 00:00:00",
        "2021:02:30 00:00:00",
        "2021:05:06 25:00:00",
        "9999:99:99 99:99:99",
        "yesterday",
        "",
    ],
)
def test_default_and_impossible_times_are_none(text):
    assert parse_time(text) is None


def test_odd_but_readable_times():
    day = datetime(2021, 5, 6, tzinfo=UTC)
    assert parse_time("2021-05-06T17:08:09.25Z") == (
        LOCAL + timedelta(milliseconds=250),
        timedelta(0),
    )
    assert parse_time("2021/05/06 17:08:09") == (LOCAL, None)
    assert parse_time("2021:05:06 24:00:00") == (day + timedelta(days=1), None)
    assert parse_time("2021:05:06 23:59:60") == (day + timedelta(days=1), None)


def test_offsets():
    assert parse_offset("+05:45") == timedelta(hours=5, minutes=45)
    assert parse_offset("-0330") == -timedelta(hours=3, minutes=30)
    for text in ("", "+15:00", "+02:75", "local"):
        assert parse_offset(text) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG_20190512_143015.jpg", (2019, 5, 12, 14, 30, 15)),
        ("a/b/PXL_20210101_123456789.MP.jpg", (2021, 1, 1, 12, 34, 56, 789_000)),
        ("Screenshot_2019-05-12-14-30-15.png", (2019, 5, 12, 14, 30, 15)),
        ("2019-05-12 14.30.15.jpg", (2019, 5, 12, 14, 30, 15)),
        ("WhatsApp Image 2019-05-12 at 14.30.15.jpeg", (2019, 5, 12, 14, 30, 15)),
        ("Screen Shot 2019-05-12 at 2.30.15 PM.png", (2019, 5, 12, 14, 30, 15)),
        ("IMG-20190512-WA0001.jpg", (2019, 5, 12, 12)),
        ("FB_IMG_1557664215123.jpg", (2019, 5, 12, 12, 30, 15, 123_000)),
        ("DSC_1234.jpg", None),
        ("IMG_20191301_101010.jpg", None),
        ("12345678901234567890.jpg", None),
        ("scan_20190230.jpg", None),
    ],
)
def test_times_in_file_names(name, expected):
    assert time_in_name(name) == (datetime(*expected, tzinfo=UTC) if expected else None)


def test_apple_maker_note_gives_content_and_burst_id():
    note = apple_note("C0FFEE00-1111-2222-3333-444444444444", "B0B0B0B0-0000")
    exif = read_exif(exif_block({}, {0x927C: (7, note)}))
    assert exif.content_id == "C0FFEE00-1111-2222-3333-444444444444"
    assert exif.burst_id == "B0B0B0B0-0000"
    assert read_exif(exif_block({}, {0x927C: (7, b"Nikon\0" + note)})).content_id is None


def test_compact_block_of_a_whole_tiff_says_the_same():
    note = apple_note("content", "burst-id")
    block = exif_block(
        {0x010F: (2, "Maker"), 0x0112: (3, 8), 0x0111: (4, [1, 2, 3])},
        {**WHEN, 0x829A: (5, [(1, 60)]), 0x927C: (7, note)},
        place(*BERLIN),
        order=">",
    )
    small = tiff.compact(block + bytes(100_000))
    assert len(small) <= len(block)
    assert read_exif(small) == read_exif(block)
    assert read_exif(small).content_id == "content"


def test_directories_that_point_at_themselves_end():
    block = bytearray(exif_block({0x010F: (2, "Maker"), 0x8769: (4, 8)}))
    block[8 + 2 + 24 : 8 + 2 + 24 + 4] = struct.pack("<I", 8)
    assert len(list(tiff.directories(bytes(block)))) == 1
    assert read_exif(bytes(block)).make == "Maker"


FULL = exif_block(
    {0x010F: (2, "Maker"), 0x0110: (2, "Model"), 0x0112: (3, 3)},
    {**WHEN, OFFSET: (2, "+01:00"), 0x829A: (5, [(1, 60)]), 0x927C: (7, apple_note("a", "b"))},
    {**place(*BERLIN), **fix(15, 8), 5: (1, b"\0"), 6: (5, [(1, 1)])},
)


@given(st.binary(max_size=300), st.text(max_size=40))
def test_no_bytes_make_it_raise(data, name):
    for head in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        assert read_exif(head + data, filename=name).orientation in range(1, 9)


@given(st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.integers(0, 255)), max_size=8))
def test_no_damage_makes_it_raise(flips):
    block = bytearray(FULL)
    for at, value in flips:
        block[at] = value
    exif = read_exif(bytes(block))
    assert exif.latitude is None or -90 <= exif.latitude <= 90
    assert exif.make is None or "\0" not in exif.make
    tiff.compact(bytes(block))


@given(st.integers(0, len(FULL)))
def test_no_truncation_makes_it_raise(length):
    read_exif(FULL[:length])


@pytest.mark.data
def test_real_files(shared_data, decoder):
    folder = shared_data / "exif" / "exif-samples"
    heic = decoder.decode((folder / "heic" / "IMG_5195.HEIC").read_bytes(), short_side=64)
    apple = read_exif(heic.exif)
    assert (apple.make, apple.model) == ("Apple", "iPhone 11 Pro Max")
    assert apple.captured_source == "offset_original" and apple.captured_offset_minutes == -300
    assert apple.latitude == pytest.approx(39.0513, abs=1e-3)
    assert apple.longitude == pytest.approx(-94.2888, abs=1e-3)
    for path in sorted((folder / "jpg" / "gps").glob("*.jpg")):
        exif = read_exif(decoder.decode(path.read_bytes(), short_side=64).exif)
        assert exif.latitude == pytest.approx(43.467, abs=0.01), path.name
        assert exif.longitude == pytest.approx(11.88, abs=0.01), path.name
        assert exif.captured_source == "gps"


@pytest.mark.timeout(60)
def test_a_block_of_nothing_but_markers_is_passed_over_in_one_go():
    assert tiff.strip_prefix(b"Exif\0\0" * 1_000_000 + b"II*\0") == b"II*\0"
    assert read_exif(b"Exif\0\xff" * 1_000_000) == Exif()


def test_values_that_overlap_take_no_more_memory_than_any_camera_needs():
    tags, size = 1_000, 400_000
    rows = b"".join(struct.pack("<HHII", tag, 7, size, 8) for tag in range(1, tags + 1))
    block = b"II*\0" + struct.pack("<IH", 8, tags) + rows + bytes(size)
    found = tiff.first_ifd(block)
    assert found and sum(len(entry.raw) for entry in found.values()) <= 2**20
