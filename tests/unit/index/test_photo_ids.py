from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.errors import InputError
from photoorg.index.photo_ids import PhotoIds, as_keys, hex_ids, slot_of, sort_order
from tests.unit.index.vectors import keys, photo_id

DIGESTS = st.lists(st.binary(min_size=32, max_size=32), max_size=40)


def matrix(digests: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


@given(DIGESTS)
def test_hex_and_digests_are_the_same_ids(digests: list[bytes]) -> None:
    assert hex_ids(as_keys([d.hex() for d in digests])) == [d.hex() for d in digests]


@pytest.mark.parametrize("wrong", ["", "ab", "g" * 64, "A" * 63, " " * 64, "a" * 62 + "  "])
def test_anything_else_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match="photo id"):
        as_keys([photo_id(1), wrong])


@given(DIGESTS, st.integers(1, 64))
def test_the_slot_is_the_first_eight_bytes_modulo_shards(digests: list[bytes], n: int) -> None:
    expected = [int(d.hex()[:16], 16) % n for d in digests]
    assert slot_of(matrix(digests), n).tolist() == expected


@given(DIGESTS)
def test_sorting_is_bytewise_and_keeps_the_last_of_equal_ids(digests: list[bytes]) -> None:
    digests = digests + digests[:3]
    order = sort_order(matrix(digests)).tolist()
    assert [digests[i] for i in order] == sorted(set(digests))
    assert all(d not in digests[i + 1 :] for i, d in ((i, digests[i]) for i in order))


@given(DIGESTS, DIGESTS)
def test_rows_are_found_by_id_and_only_those_there_are(a: list[bytes], b: list[bytes]) -> None:
    have = sorted(set(a))
    ids = PhotoIds(matrix(have))
    wanted = a + b
    expected = [have.index(d) if d in have else -1 for d in wanted]
    assert ids.rows(matrix(wanted)).tolist() == expected


def test_ids_that_end_in_zero_bytes_stay_distinct() -> None:
    digests = [b"\x01" * 31 + b"\x00", b"\x01" * 32, b"\x01" * 30 + b"\x00\x00"]
    ids = PhotoIds(matrix(sorted(digests)))
    assert ids.rows(matrix(digests)).tolist() == [1, 2, 0]


@pytest.mark.parametrize("n", [0, 5])
def test_the_file_gives_back_its_ids(n: int, tmp_path: Path) -> None:
    ordered = keys(n)[sort_order(keys(n))]
    PhotoIds.write(tmp_path / "ids", ordered, space="s")
    ids = PhotoIds.open(tmp_path / "ids", n)
    assert ids.hex(np.arange(n)) == hex_ids(ordered)
