"""N3: the example of "Dive into Deep Learning"."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods import border, differ, one, same, stretch, turn, undo

import jaxconv

X = one([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
K = one([[[0, 1], [2, 3]]])
Y = one([[0, 0, 1, 2], [0, 5, 11, 11], [6, 23, 29, 23], [12, 32, 37, 24]])


def test_n3_01_erratum_transpose_not_inverse() -> None:
    matrix = np.asarray(jaxconv.conv_matrix(K, X.shape))
    assert matrix.shape == (4, 9)
    with pytest.raises(np.linalg.LinAlgError, match="square"):  # as printed
        np.linalg.inv(matrix)
    y = np.asarray(jaxconv.conv(X, K))
    back = undo(y, K)
    np.testing.assert_array_equal(back.ravel(), matrix.T @ y.ravel())  # corrected
    assert differ(
        back.ravel(), np.linalg.pinv(matrix) @ y.ravel()
    )  # nor the pseudo-inverse


def test_n3_02_erratum_the_rows_of_width_three() -> None:
    w11, w12, w21, w22 = 2.0, 3.0, 5.0, 7.0
    kernel = one([[[w11, w12], [w21, w22]]])
    printed = [w11, w12, 0, 0, w21, w22, 0, 0, 0]
    row = [w11, w12, 0, w21, w22, 0, 0, 0, 0]
    matrix = np.asarray(jaxconv.conv_matrix(kernel, (1, 3, 3)))
    assert matrix[0].tolist() != printed
    assert matrix[0].tolist() == row  # corrected; the other rows: claim 2.03
    of_width_four = np.asarray(jaxconv.conv_matrix(kernel, (1, 3, 4)))
    assert of_width_four[0, :9].tolist() == printed
    y = jaxconv.conv(X, kernel)[0, 0, 0]
    assert printed @ X.ravel() != y == row @ X.ravel()


def test_n3_03_same_shape_other_values(rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, 3, 3))
    matrix = np.asarray(jaxconv.conv_matrix(K, x.shape))
    y = matrix @ x.ravel()
    back = matrix.T @ y
    assert (y.size, back.size) == (4, 9)
    same(jaxconv.conv(x, K), y.reshape(1, 2, 2))
    same(undo(y.reshape(1, 2, 2), K), back.reshape(x.shape))
    assert differ(back, x.ravel())


def test_n3_04_the_example() -> None:
    np.testing.assert_array_equal(undo(X, K), Y)


def by_hand(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """As the notes have it, for two axes: each input times the kernel, added up."""
    height, width = kernel.shape
    y = np.zeros((x.shape[0] + height - 1, x.shape[1] + width - 1))
    for (i, j), value in np.ndenumerate(x):
        y[i : i + height, j : j + width] += value * kernel
    return y


def test_n3_04_erratum_the_code_takes_two_axes() -> None:
    with pytest.raises(ValueError, match="too many values to unpack"):  # as printed
        by_hand(X, K[0])
    np.testing.assert_array_equal(by_hand(X[0], K[0, 0]), Y[0])  # corrected
    np.testing.assert_array_equal(jaxconv.conv_transpose(X, K)[0], Y[0])


def test_n3_05_with_padding_and_with_stride() -> None:
    np.testing.assert_array_equal(undo(X, K, padding=1), one([[5, 11], [23, 29]]))
    strided = undo(X, K, stride=2)
    assert strided.shape == (1, 6, 6)
    assert strided[0, 0].tolist() == [0, 0, 0, 1, 0, 2]
    assert strided[0, -1].tolist() == [12, 18, 14, 21, 16, 24]
    np.testing.assert_array_equal(strided, np.kron(X, K[0]))


@pytest.mark.parametrize(("s", "p"), [(2, 0), (3, 1)])
def test_n3_06_stride_is_zeros_between(
    s: int, p: int, rng: np.random.Generator
) -> None:
    y, w = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 2, 3, 3))
    edge = w.shape[-1] - 1 - p
    given: dict[str, Any] = {"stride": s, "padding": p}
    same(undo(y, w, **given), jaxconv.conv(border(stretch(y, s), edge, edge), turn(w)))
