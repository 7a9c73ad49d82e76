from __future__ import annotations

from pathlib import Path

import pytest

from photoorg.errors import IndexCorruptError, NotFoundError
from photoorg.index import seal

FIELDS = {"part": "base", "kind": "flat", "space": "s", "dim": 4, "rows": 2}


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"payload" * 100)
    seal.close(path, **FIELDS)
    return path


def test_a_whole_file_tells_what_it_is(sealed: Path) -> None:
    found = seal.check(sealed, part="base", kind="flat")
    assert (found.space, found.dim, found.rows, found.bytes) == ("s", 4, 2, 700)


def test_an_empty_payload_can_be_sealed(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    seal.close(tmp_path / "empty", **FIELDS)
    assert seal.check(tmp_path / "empty", part="base").bytes == 0


def test_every_truncation_is_noticed(sealed: Path) -> None:
    data = sealed.read_bytes()
    for size in range(0, len(data), 7):
        sealed.write_bytes(data[:size])
        with pytest.raises(IndexCorruptError):
            seal.check(sealed, part="base")


def test_every_altered_byte_is_noticed(sealed: Path) -> None:
    data = sealed.read_bytes()
    for at in range(0, len(data), 11):
        sealed.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            found = seal.check(sealed, part="base", kind="flat")
        except IndexCorruptError:
            continue
        # What the footer says of itself is held against the manifest, not here.
        assert at >= 700 and found != seal.Seal(**FIELDS, bytes=700, sha256=found.sha256)


def test_another_part_or_kind_is_refused(sealed: Path) -> None:
    with pytest.raises(IndexCorruptError, match="ids data"):
        seal.check(sealed, part="ids")
    with pytest.raises(IndexCorruptError, match="ivfpq"):
        seal.check(sealed, part="base", kind="ivfpq")


def test_another_format_version_is_refused(sealed: Path) -> None:
    data = sealed.read_bytes()
    sealed.write_bytes(data.replace(b'"schema":1', b'"schema":2'))
    with pytest.raises(IndexCorruptError, match="format 2"):
        seal.check(sealed, part="base")


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        seal.check(tmp_path / "none", part="base")
