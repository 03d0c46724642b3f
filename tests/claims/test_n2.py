"""N2: the matrix view, forwards and backwards."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from methods import differ, do, one, pytorch, same, shape, undo

import jaxconv

# A different prime for every entry, so that no two terms can be taken for each other.
K11, K12, K21, K22 = 2.0, 3.0, 5.0, 7.0
K = one([[[K11, K12], [K21, K22]]])
((I11, I12, I13), (I21, I22, I23), (I31, I32, I33)) = IMAGE = (
    (11.0, 13.0, 17.0),
    (19.0, 23.0, 29.0),
    (31.0, 37.0, 41.0),
)
a, b, c, d = 43.0, 47.0, 53.0, 59.0
SMALL = one([[a, b], [c, d]])


def test_n2_01_conv_is_many_to_one(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((3, 5, 6)), rng.standard_normal((4, 3, 2, 3))
    y = np.asarray(jaxconv.conv(x, w))
    for o, i, j in ((0, 0, 0), (3, 2, 1), (1, 3, 3)):
        window = x[:, i : i + 2, j : j + 3]  # over all channels
        same(y[o, i, j], np.float64((window * w[o]).sum()))


def test_n2_01_transposed_conv_is_one_to_many(rng: np.random.Generator) -> None:
    y, w = rng.standard_normal((4, 3, 2)), rng.standard_normal((4, 3, 2, 3))
    z = np.zeros((3, 4, 4))
    for (o, i, j), value in np.ndenumerate(y):
        z[:, i : i + 2, j : j + 3] += value * w[o]  # overlaps and channels add up
    same(undo(y, w), z)
    single = np.zeros_like(y)
    single[2, 1, 1] = y[2, 1, 1]
    alone = np.asarray(jaxconv.conv_transpose(single, w))
    same(alone[:, 1:3, 1:4], y[2, 1, 1] * w[2])
    assert np.count_nonzero(alone) == w[2].size


def test_n2_02_size() -> None:
    for i, k, s, p in ((3, 2, 1, 0), (9, 4, 2, 1), (12, 5, 3, 2)):
        assert jaxconv.conv_output_size(i, k, stride=s, padding=p) == 1 + (
            (i + 2 * p - k) // s
        )
    assert shape(jaxconv.conv, (1, 3, 3), K.shape) == (1, 2, 2)


MATRIX = np.array(
    [
        [K11, K12, 0, K21, K22, 0, 0, 0, 0],
        [0, K11, K12, 0, K21, K22, 0, 0, 0],
        [0, 0, 0, K11, K12, 0, K21, K22, 0],
        [0, 0, 0, 0, K11, K12, 0, K21, K22],
    ]
)


def test_n2_03_matrix_of_a_square_kernel() -> None:
    np.testing.assert_array_equal(jaxconv.conv_matrix(K, (1, 3, 3)), MATRIX)
    sparse = jaxconv.conv_matrix(K, (1, 3, 3), sparse=True)
    np.testing.assert_array_equal(sparse.todense(), MATRIX)


def test_n2_03_erratum_four_by_nine_times_nine_by_one() -> None:
    x, matrix = one(IMAGE), np.asarray(jaxconv.conv_matrix(K, (1, 3, 3)))
    assert (matrix.shape, x.reshape(-1, 1).shape) != ((4, 16), (16, 1))  # as printed
    assert (matrix.shape, x.reshape(-1, 1).shape) == ((4, 9), (9, 1))  # corrected
    product = (matrix @ x.reshape(-1, 1)).reshape(1, 2, 2)
    np.testing.assert_array_equal(product, jaxconv.conv(x, K))


def test_n2_04_matrix_is_the_jacobian() -> None:
    for name in ("xla", "window", "matrix"):
        jacobian = jax.jacobian(
            lambda x, name=name: jaxconv.conv(x, K, implementation=name)
        )
        found = jacobian(one(IMAGE)).reshape(4, 9)
        np.testing.assert_array_equal(found, MATRIX)


def test_n2_05_strided_and_padded() -> None:
    x = one(IMAGE)
    expected = [
        [K22 * I11, K21 * I12 + K22 * I13],
        [K12 * I21 + K22 * I31, K11 * I22 + K12 * I23 + K21 * I32 + K22 * I33],
    ]
    np.testing.assert_array_equal(do(x, K, stride=2, padding=1), one(expected))
    matrix = np.asarray(jaxconv.conv_matrix(K, (1, 5, 5), stride=2))
    assert matrix.shape == (4, 25)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1))).ravel()
    np.testing.assert_array_equal((matrix @ padded).reshape(1, 2, 2), one(expected))


def test_n2_06_matrices_side_by_side(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((9, 4, 3)), rng.standard_normal((1, 9, 3, 2))
    side_by_side = np.hstack(
        [jaxconv.conv_matrix(w[:, i : i + 1], (1, 4, 3)) for i in range(9)]
    )
    assert side_by_side.shape == (4, 9 * 12)
    np.testing.assert_array_equal(side_by_side, jaxconv.conv_matrix(w, x.shape))
    stacked = np.concatenate([channel.ravel() for channel in x])
    same(jaxconv.conv(x, w), (side_by_side @ stacked).reshape(1, 2, 2))


@pytest.mark.parametrize(("s", "p"), [(1, 0), (3, 1)])
@pytest.mark.parametrize("biased", [True, False])
def test_n2_07_scattering(
    s: int, p: int, biased: bool, rng: np.random.Generator
) -> None:
    y, w = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 5, 4, 4))
    bias = rng.standard_normal(5) if biased else None
    height, width = 3 * s + 4, 2 * s + 4
    temporary = np.zeros((5, height, width))
    if bias is not None:
        temporary += bias[:, None, None]  # once
    for (o, i, j), value in np.ndenumerate(y):
        temporary[:, i * s : i * s + 4, j * s : j * s + 4] += value * w[o]
    cut = temporary[:, p : height - p, p : width - p]
    assert cut.shape == (5, 3 * s + 4 - 2 * p, 2 * s + 4 - 2 * p)
    same(undo(y, w, bias, stride=s, padding=p), cut)


def test_n2_08_the_example_without_padding() -> None:
    expected = [
        [a * K11, a * K12 + b * K11, b * K12],
        [a * K21 + c * K11, a * K22 + b * K21 + c * K12 + d * K11, b * K22 + d * K12],
        [c * K21, c * K22 + d * K21, d * K22],
    ]
    np.testing.assert_array_equal(undo(SMALL, K), one(expected))


def test_n2_09_the_example_with_stride_and_padding() -> None:
    temporary = np.asarray(jaxconv.conv_transpose(SMALL, K, stride=2))
    np.testing.assert_array_equal(temporary, np.kron(SMALL, K[0]))
    assert temporary.shape == (1, 4, 4)
    expected = [[a * K22, b * K21], [c * K12, d * K11]]
    np.testing.assert_array_equal(undo(SMALL, K, stride=2, padding=1), one(expected))


def test_n2_09_erratum_the_size_with_stride_two() -> None:
    size = jaxconv.conv_transpose_output_size(2, 2, stride=2, padding=1)
    assert (2 - 1) * 1 + 2 - 2 == 1 != size  # as printed
    assert (2 - 1) * 2 + 2 - 2 == 2 == size  # corrected


def transposed_matrix(**arguments: Any) -> np.ndarray:
    """The matrix of conv_transpose on 2x2: what it makes of every unit vector."""
    units = np.eye(4).reshape(4, 1, 2, 2)
    return undo(units, K, **arguments).reshape(4, -1).T


@pytest.mark.parametrize(
    ("i", "s", "p", "op"),
    [(2, 2, 1, 0), (3, 2, 1, 1), (4, 2, 0, 0), (5, 2, 0, 1), (4, 3, 1, 1)],
)
def test_n2_10_erratum_exactly_the_transpose(i: int, s: int, p: int, op: int) -> None:
    """Printed: with stride != 1 or padding != 0 it is not exactly the transpose."""
    assert s != 1 or p != 0
    matrix = np.asarray(jaxconv.conv_matrix(K, (1, i, i), stride=s, padding=p))
    assert matrix.shape == (4, i * i)
    found = transposed_matrix(stride=s, padding=p, output_padding=op)
    np.testing.assert_array_equal(found, matrix.T)


def test_n2_10_erratum_two_convolutions_were_compared() -> None:
    """16x4 undoes the conv of a 2x2 image, and 4x25 is the conv of a 3x3 image."""
    given: dict[str, Any] = {"stride": 2, "padding": 1}
    for i in (2, 3):
        assert shape(jaxconv.conv, (1, i, i), K.shape, **given) == (1, 2, 2)
    of_two, of_three = (
        np.asarray(jaxconv.conv_matrix(K, (1, i + 2, i + 2), stride=2)) for i in (2, 3)
    )
    printed = transposed_matrix(stride=2)  # to the temporary 4x4
    assert (printed.shape, of_two.shape, of_three.shape) == ((16, 4), (4, 16), (4, 25))
    np.testing.assert_array_equal(printed, of_two.T)
    larger = transposed_matrix(stride=2, output_padding=1)
    np.testing.assert_array_equal(larger, of_three.T)


def test_n2_10_erratum_in_pytorch() -> None:
    torch = pytorch()
    units = torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2)
    for i, op in ((2, 0), (3, 1)):
        columns = torch.nn.functional.conv_transpose2d(
            units, torch.tensor(K), stride=2, padding=1, output_padding=op
        )
        matrix = jaxconv.conv_matrix(K, (1, i, i), stride=2, padding=1)
        np.testing.assert_array_equal(columns.reshape(4, -1).numpy(), matrix)


def test_n2_11_only_the_shape_comes_back(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 7, 5)), rng.standard_normal((3, 2, 3, 3))
    back = undo(jaxconv.conv(x, w, stride=2, padding=1), w, stride=2, padding=1)
    assert back.shape == x.shape
    assert differ(back, x)


def test_n2_12_windows_turn_both_into_matrix_products(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 6, 7)), rng.standard_normal((4, 2, 3, 2))
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 2))
    assert x.flags.c_contiguous
    assert not windows[1, 2].flags.c_contiguous
    given: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": (1, 2)}
    columns, weights = np.asarray(jaxconv.unfold(x, (3, 2), **given)), w.reshape(4, -1)
    y = np.asarray(jaxconv.conv(x, w, **given))
    same((weights @ columns).reshape(y.shape), y)  # im2col, GEMM
    back = jaxconv.fold(weights.T @ y.reshape(4, -1), (6, 7), (3, 2), **given)
    same(undo(y, w, output_size=(6, 7), **given), np.asarray(back))  # GEMM, col2im


def test_n2_12_unfold_and_fold_in_pytorch(rng: np.random.Generator) -> None:
    functional = pytorch().nn.functional
    x = rng.standard_normal((3, 2, 6, 7))
    given: dict[str, Any] = {"stride": 2, "padding": 1, "dilation": (1, 2)}
    columns = functional.unfold(pytorch().tensor(x), (3, 2), **given)
    same(jaxconv.unfold(x, (3, 2), **given), columns.numpy())
    image = functional.fold(columns, (6, 7), (3, 2), **given)
    same(jaxconv.fold(columns.numpy(), (6, 7), (3, 2), **given), image.numpy())


def test_n2_13_erratum_the_third_weight_times_five() -> None:
    k1, k2, k3 = 2.0, 3.0, 5.0
    x, w = np.arange(1.0, 6)[None], np.array([[[k1, k2, k3]]])
    ((first, second),) = np.asarray(jaxconv.conv(x, w, stride=2)).tolist()
    assert first == k1 * 1 + k2 * 2 + k3 * 3
    assert w.size < 5  # as printed, "K5*3": there is no fifth weight,
    for weight in (k1, k2, k3):  # nor is any of the three meant
        assert second != k1 * 3 + k2 * 4 + weight * 3
    assert second == k1 * 3 + k2 * 4 + k3 * 5  # corrected
