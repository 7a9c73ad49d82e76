from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photoorg.errors import IndexCorruptError
from photoorg.index import seal
from photoorg.index.rescore import Codec, Rescorer, train_codec
from tests.unit.index.vectors import clustered

N, DIM = 3_000, 96
X = clustered(N, DIM)


def written(path: Path, codec: Codec, x: np.ndarray = X) -> Rescorer:
    blocks = (x[i : i + 700] for i in range(0, len(x), 700))
    Rescorer.write(path, train_codec(codec, X[:2_000]), blocks, len(x), space="s")
    return Rescorer.open(path, seal.check(path, part="rescore", kind=codec))


@pytest.mark.parametrize(("codec", "error"), [("sq8", 4e-3), ("fp16", 1e-3)])
def test_scores_are_near_the_true_cosines(codec: Codec, error: float, tmp_path: Path) -> None:
    rescorer = written(tmp_path / "r", codec)
    scores, rows = rescorer.scan(X[:50], 10, None)
    assert np.abs(scores - np.einsum("nd,nkd->nk", X[:50], X[rows])).max() < error
    assert (rows[:, 0] == np.arange(50)).mean() > 0.99


@pytest.mark.parametrize(("codec", "size"), [("sq8", DIM), ("fp16", 2 * DIM)])
def test_the_file_is_as_large_as_its_codes(codec: Codec, size: int, tmp_path: Path) -> None:
    written(tmp_path / "r", codec)
    assert N * size < (tmp_path / "r").stat().st_size < N * size + 2_000


def test_vectors_are_unit_norm_and_near_the_originals(tmp_path: Path) -> None:
    got = written(tmp_path / "r", "sq8").vectors(np.array([5, 0, 2_999]))
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-6)
    assert (np.einsum("nd,nd->n", got, X[[5, 0, 2_999]]) > 0.9995).all()


def test_a_scan_sees_only_allowed_rows(tmp_path: Path) -> None:
    allowed = np.zeros(N, np.bool_)
    allowed[[7, 2_000]] = True
    scores, rows = written(tmp_path / "r", "sq8").scan(X[:3], 4, allowed)
    assert all(set(row) == {7, 2_000, -1} for row in rows)
    assert (scores[:, 2:] == -np.inf).all()


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    rescorer = written(tmp_path / "r", "sq8", X[:0])
    assert len(rescorer) == 0
    assert rescorer.vectors(np.zeros(0, np.int64)).shape == (0, DIM)
    assert (rescorer.scan(X[:2], 3, None)[1] == -1).all()


def test_a_dimension_that_never_varies_does_no_harm(tmp_path: Path) -> None:
    x = X.copy()
    x[:, :40] = 0
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    Rescorer.write(tmp_path / "r", train_codec("sq8", x), iter([x]), N, space="s")
    rescorer = Rescorer.open(tmp_path / "r", seal.check(tmp_path / "r", part="rescore"))
    scores, rows = rescorer.scan(x[:50], 1, None)
    assert np.isfinite(scores).all() and (rows[:, 0] == np.arange(50)).mean() > 0.99


def test_counts_that_do_not_fit_the_seal_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r"
    Rescorer.write(path, train_codec("sq8", X), iter([X[:10]]), 10, space="s")
    found = seal.check(path, part="rescore")
    with pytest.raises(IndexCorruptError, match="10 vectors"):
        Rescorer.open(path, seal.Seal(**{**seal_fields(found), "rows": 11}))


def seal_fields(found: seal.Seal) -> dict[str, object]:
    return {name: getattr(found, name) for name in seal.Seal.__slots__}
