from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from photoorg.errors import InputError
from photoorg.index import spool as module
from photoorg.index.photo_ids import hex_ids
from photoorg.index.spool import Spool
from tests.unit.index.vectors import clustered, keys

DIM = 16
KEYS, X = keys(500), clustered(500, DIM)


def test_rows_come_back_in_id_order_with_their_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 70 * DIM)
    with Spool(tmp_path / "spool", DIM) as spool:
        for part in np.array_split(np.arange(500), 9):
            spool.add(KEYS[part], X[part])
        rows = spool.sorted()
        blocks = list(rows.blocks())
    order = sorted(range(500), key=lambda i: bytes(KEYS[i]))
    assert hex_ids(rows.keys) == hex_ids(KEYS[order])
    assert max(len(b) for b in blocks) == 70
    np.testing.assert_allclose(np.concatenate(blocks), X[order], atol=1e-3)


def test_a_photo_added_again_has_its_last_vector(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", DIM) as spool:
        spool.add(KEYS[:3], X[:3])
        spool.add(KEYS[1:2], X[9:10])
        rows = spool.sorted()
        assert len(rows) == 3
        at = hex_ids(rows.keys).index(hex_ids(KEYS[1:2])[0])
        np.testing.assert_allclose(next(rows.blocks())[at], X[9], atol=1e-3)


def test_vectors_are_brought_to_unit_length(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", DIM) as spool:
        spool.add(KEYS[:3], 7 * X[:3])
        norms = np.linalg.norm(next(spool.sorted().blocks()), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-6)


def test_vectors_that_are_not_finite_are_left_out_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    x = X[:4].copy()
    x[2, 0] = np.inf
    with Spool(tmp_path / "spool", DIM) as spool, caplog.at_level(logging.WARNING):
        spool.add(KEYS[:4], x)
        assert (len(spool.sorted()), spool.skipped) == (3, 1)
    assert hex_ids(KEYS[2:3])[0] in caplog.text


def test_vectors_of_another_dimension_are_refused(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", DIM) as spool, pytest.raises(InputError, match="dimension"):
        spool.add(KEYS[:2], np.ones((2, DIM + 1)))


def test_the_temporary_file_goes_even_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Spool(tmp_path / "spool", DIM) as spool:
        spool.add(KEYS, X)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
