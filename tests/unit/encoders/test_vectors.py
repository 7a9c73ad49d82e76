import numpy as np
import pytest

from photoorg.encoders.vectors import unit_norm
from photoorg.errors import EncoderUnavailableError


def test_rows_have_length_one_and_keep_their_direction() -> None:
    x_nd = unit_norm(np.array([[3.0, 4.0], [0.0, -2.0]]), 2, "toy")
    assert x_nd.dtype == np.float32
    np.testing.assert_allclose(x_nd, [[0.6, 0.8], [0.0, -1.0]], atol=1e-7)


def test_a_row_of_zeros_becomes_the_constant_direction() -> None:
    np.testing.assert_allclose(unit_norm(np.zeros((1, 4)), 4, "toy"), [[0.5] * 4])


def test_large_float16_rows_do_not_overflow() -> None:
    x_nd = unit_norm(np.full((1, 4), 60_000, np.float16), 4, "toy")
    np.testing.assert_allclose(x_nd, [[0.5] * 4], atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error_that_counts_them(bad: float) -> None:
    with pytest.raises(EncoderUnavailableError, match=r"toy gave .* for 1 of 2"):
        unit_norm(np.array([[1.0, bad], [1.0, 2.0]]), 2, "toy")


def test_another_width_is_an_error() -> None:
    with pytest.raises(EncoderUnavailableError, match=r"\[1, 3\] where \[n, 2\]"):
        unit_norm(np.ones((1, 3)), 2, "toy")
