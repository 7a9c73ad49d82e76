import io
import struct
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from photoorg.imaging.quicktime import Movie, read_movie
from tests.unit.imaging.files import box, movie


def read(data: bytes) -> Movie:
    return read_movie(io.BytesIO(data))


def test_content_identifier_and_duration_are_read():
    found = read(movie("ABC-123", 2.5))
    assert (found.content_id, found.duration_s) == ("ABC-123", 2.5)
    seconds = 3_700_000_000 - 2_082_844_800  # the second number: from 1904 to 1970
    assert found.created_at == datetime.fromtimestamp(seconds, UTC)


def test_creation_date_with_zone_wins():
    made = "2021-05-06T17:08:09+0200"
    assert read(movie("A", made=made)).created_at == datetime(2021, 5, 6, 15, 8, 9, tzinfo=UTC)


def test_large_boxes_with_64_bit_sizes_are_skipped():
    data = movie("ABC-123")
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + 100) + bytes(100)
    assert read(large + data).content_id == "ABC-123"


def test_files_without_a_movie_say_nothing():
    assert read(b"") == Movie()
    assert read(b"\xff\xd8\xff\xe0" + bytes(100)) == Movie()
    assert read(box(b"ftyp", b"qt  ") + box(b"mdat", bytes(9))) == Movie()


MOVIE = movie("ABC-123", 2.5, "2021-05-06T17:08:09+0200")


@given(st.lists(st.tuples(st.integers(0, len(MOVIE) - 1), st.integers(0, 255)), max_size=6))
def test_no_damage_makes_it_raise(flips):
    data = bytearray(MOVIE)
    for at, value in flips:
        data[at] = value
    read(bytes(data))


@given(st.integers(0, len(MOVIE)))
def test_no_truncation_makes_it_raise(length):
    read(MOVIE[:length])
