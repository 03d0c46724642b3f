"""N0: transposed convolution, from the matrix up."""

from __future__ import annotations

import inspect
import itertools
import math
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest
from methods import border, differ, do, one, pytorch, same, shape, stretch, turn, undo

import jaxconv
from oracle import windows

# The notes' example: image I, kernel C, result O.
I = one([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 0, 0]])  # noqa: E741
C = one([[[0, 1, 1], [0, 1, 0], [1, 0, 1]]])
O = one([[2, 3], [1, 3]])  # noqa: E741
BACK = one([[0, 2, 5, 3], [0, 3, 7, 3], [2, 4, 5, 3], [1, 3, 1, 3]])


def four_steps(y: Any, w: Any, s: int, p: int, d: int = 1, op: int = 0) -> jax.Array:
    """Zeros between, border, turned kernel, ordinary convolution of stride 1."""
    edge = d * (w.shape[-1] - 1) - p
    return jaxconv.conv(border(stretch(y, s), edge, edge + op), turn(w), dilation=d)


@pytest.mark.parametrize(("s", "p"), [(1, 0), (2, 1), (3, 2)])
def test_n0_01_four_steps(s: int, p: int, rng: np.random.Generator) -> None:
    y, w = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, 3, 3, 3))
    k = w.shape[-1]
    printed = jaxconv.conv(border(stretch(y, s), k - p - 1, k - p - 1), turn(w))
    same(undo(y, w, stride=s, padding=p), printed)


@pytest.mark.parametrize(
    ("s", "p", "d", "op"), [(2, 1, 2, 1), (3, 5, 1, 2), (1, 1, 3, 0)]
)
def test_n0_01_four_steps_in_general(
    s: int, p: int, d: int, op: int, rng: np.random.Generator
) -> None:
    """Dilated kernel, output_padding at the far side, cropped where p > d(k-1)."""
    y, w = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, 3, 3, 3))
    steps = four_steps(y, w, s, p, d, op)
    same(undo(y, w, stride=s, padding=p, dilation=d, output_padding=op), steps)
    short = w.shape[-1] - p - 1
    assert (d, op) != (1, 0)  # so the short form gives another size:
    without = border(stretch(y, s), short, short)
    assert shape(jaxconv.conv, without.shape, turn(w).shape) != steps.shape


SIZES = [(5, 6, 3, 4), (7, 4, 2, 5)]  # image h and w, kernel h and w
# Stride, padding and dilation.
WINDOWS = list(itertools.product((1, 2, 3), (0, 1), (1, 2)))


def test_n0_02_transposed_size_per_axis() -> None:
    for (h, w, kh, kw), (s, p, d) in itertools.product(SIZES, WINDOWS):
        for op in range(max(s, d)):
            expected = tuple(
                (i - 1) * s - 2 * p + d * (k - 1) + op + 1
                for i, k in ((h, kh), (w, kw))
            )
            given = {"stride": s, "padding": p, "dilation": d, "output_padding": op}
            sizes = jaxconv.conv_transpose_output_size((h, w), (kh, kw), **given)
            assert sizes == expected
            out = shape(jaxconv.conv_transpose, (3, 2, h, w), (2, 5, kh, kw), **given)
            assert out == (3, 5, *expected)


def test_n0_03_short_form_of_the_transposed_size() -> None:
    for (h, _, k, _), (s, p, d) in itertools.product(SIZES, WINDOWS):
        for op in range(max(s, d)):
            short = (h - 1) * s - 2 * p + k
            size = jaxconv.conv_transpose_output_size(
                h, k, stride=s, padding=p, dilation=d, output_padding=op
            )
            assert (size == short) == (d == 1 and op == 0)


def test_n0_04_size_of_a_convolution() -> None:
    for (h, w, kh, kw), (s, p, d) in itertools.product(SIZES, WINDOWS):
        h, w = 2 * h, 3 * w
        expected = tuple(
            math.floor((i + 2 * p - d * (k - 1) - 1) / s + 1)
            for i, k in ((h, kh), (w, kw))
        )
        assert expected == (windows(h, kh, s, d, p, p), windows(w, kw, s, d, p, p))
        given = {"stride": s, "padding": p, "dilation": d}
        assert jaxconv.conv_output_size((h, w), (kh, kw), **given) == expected
        out = shape(jaxconv.conv, (3, 2, h, w), (5, 2, kh, kw), **given)
        assert out == (3, 5, *expected)


def test_n0_05_erratum_the_default_dilation_is_one() -> None:
    h, p, k, s = 11, 1, 3, 2
    short = math.floor((h + 2 * p - k) / s + 1)
    general = {d: math.floor((h + 2 * p - d * (k - 1) - 1) / s + 1) for d in (0, 1)}
    assert general[0] != short  # as printed
    assert general[1] == short  # corrected
    assert jaxconv.conv_output_size(h, k, stride=s, padding=p) == short
    for fun in (jaxconv.conv, jaxconv.conv_transpose):
        assert inspect.signature(fun).parameters["dilation"].default == 1
    with pytest.raises(ValueError, match="dilation=0: must be at least 1"):
        jaxconv.conv_output_size(h, k, stride=s, padding=p, dilation=0)


def test_n0_05_erratum_in_pytorch() -> None:
    torch = pytorch()
    assert torch.nn.Conv2d(2, 3, 3).dilation == (1, 1)
    assert torch.nn.ConvTranspose2d(2, 3, 3).dilation == (1, 1)


def test_n0_06_convolution_as_a_row_vector_times_a_matrix() -> None:
    matrix = np.asarray(jaxconv.conv_matrix(C, I.shape)).T
    assert matrix.shape == (16, 4)
    for column, (row, place) in enumerate(itertools.product((0, 1), repeat=2)):
        shifted = np.zeros((4, 4))
        shifted[row : row + 3, place : place + 3] = C[0, 0]
        np.testing.assert_array_equal(matrix[:, column], shifted.ravel())
    np.testing.assert_array_equal(I.reshape(1, 16) @ matrix, O.reshape(1, 4))
    np.testing.assert_array_equal(do(I, C), O)


def test_n0_06_erratum_the_row_vector_and_the_rows() -> None:
    matrix = np.asarray(jaxconv.conv_matrix(C, I.shape)).T
    product = (I.reshape(1, 16) @ matrix)[0]
    assert product.tolist() != [4, 3, 1, 3]  # as printed
    assert product.tolist() == [2, 3, 1, 3]  # corrected
    assert len(matrix) == I.size != 19  # 19 rows are printed


def test_n0_07_many_channels_and_kernels(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 4, 5)), rng.standard_normal((3, 2, 3, 2))
    bias = rng.standard_normal(3)
    outputs = []
    for kernel, b in zip(w, bias, strict=True):
        total = np.zeros(8)
        for channel, weights in zip(x, kernel, strict=True):
            matrix = np.asarray(jaxconv.conv_matrix(weights[None, None], (1, 4, 5)))
            total += channel.ravel() @ matrix.T
        outputs.append(total.reshape(2, 4) + b)
    same(jaxconv.conv(x, w, bias), np.stack(outputs))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_n0_08_parameters_and_cost(bias: bool, groups: int) -> None:
    c_in, c_out, kh, kw = 4, 6, 3, 2
    out_h, out_w = windows(9, kh, 2, 1, 1, 1), windows(8, kw, 2, 1, 1, 1)
    found = jaxconv.cost(
        (c_in, 9, 8),
        (c_out, c_in // groups, kh, kw),
        bias=bias,
        stride=2,
        padding=1,
        groups=groups,
    )
    weights = kh * kw * c_in // groups
    assert found.output_shape == (c_out, out_h, out_w)
    assert found.parameters == (weights + bias) * c_out
    assert found.multiply_adds == out_h * out_w * c_out * weights
    assert found.flops == 2 * found.multiply_adds


@pytest.mark.parametrize("groups", [1, 2])
def test_n0_08_parameters_in_pytorch(groups: int) -> None:
    torch = pytorch()
    for bias in (True, False):
        layer = torch.nn.Conv2d(4, 6, (3, 2), groups=groups, bias=bias)
        found = jaxconv.cost(
            (4, 9, 8), tuple(layer.weight.shape), bias=bias, groups=groups
        )
        assert found.parameters == sum(p.numel() for p in layer.parameters())


def test_n0_09_transposed_convolution_by_matrix() -> None:
    matrix = np.asarray(jaxconv.conv_matrix(C, I.shape))
    assert matrix.shape == (4, 16)
    np.testing.assert_array_equal(O.reshape(1, 4) @ matrix, BACK.reshape(1, 16))
    np.testing.assert_array_equal(undo(O, C), BACK)


def test_n0_10_erratum_columns_are_multiplied_elementwise() -> None:
    matrix = np.asarray(jaxconv.conv_matrix(C, I.shape))
    columns = matrix.T.reshape(16, 2, 2)
    sums = (columns * O).sum((1, 2))  # corrected
    np.testing.assert_array_equal(sums.reshape(1, 4, 4), undo(O, C))
    products = columns @ O  # as printed: a 2x2 matrix, not one output
    assert products.shape == (16, 2, 2)
    for entry in np.ndindex(2, 2):
        assert differ(products[:, *entry], sums)
    assert differ(products.sum((1, 2)), sums)


def test_n0_11_the_four_steps_on_the_example() -> None:
    turned = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(np.rot90(C[0, 0], 2), turned)
    padded = np.pad(O, ((0, 0), (2, 2), (2, 2)))
    np.testing.assert_array_equal(jaxconv.conv(padded, one([turned])), BACK)


def test_n0_11_erratum_six_rows_and_a_turn() -> None:
    padded = np.pad(O, ((0, 0), (2, 2), (2, 2)))
    assert padded.shape == (1, 6, 6)  # corrected; 5 rows are printed:
    five = padded[:, :5]
    assert shape(jaxconv.conv, five.shape, C.shape) != BACK.shape
    swapped = C.swapaxes(2, 3)  # as printed: rows and columns swapped
    assert differ(jaxconv.conv(padded, swapped), BACK)
    np.testing.assert_array_equal(jaxconv.conv(padded, C[:, :, ::-1, ::-1]), BACK)


def test_n0_12_grouped_convolution(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 6, 5, 7)), rng.standard_normal((9, 2, 3, 4))
    y = np.asarray(jaxconv.conv(x, w, groups=3))
    assert y.shape[1] == len(w)  # as many kernels as output channels
    pairs = zip(np.split(x, 3, axis=1), np.split(w, 3), strict=True)
    same(y, np.concatenate([jaxconv.conv(*pair) for pair in pairs], axis=1))
    x[:, :2] += 1.0
    changed = np.asarray(jaxconv.conv(x, w, groups=3)) != y
    assert changed[:, :3].all()
    assert not changed[:, 3:].any()  # no mixing between groups


def test_n0_12_groups_in_pytorch(rng: np.random.Generator) -> None:
    torch = pytorch()
    x, w = rng.standard_normal((2, 6, 5, 7)), rng.standard_normal((9, 2, 3, 4))
    y = torch.nn.functional.conv2d(torch.tensor(x), torch.tensor(w), groups=3)
    same(jaxconv.conv(x, w, groups=3), y.numpy())
    assert torch.nn.Conv2d(6, 9, (3, 4), groups=3).weight.shape == w.shape


def test_n0_12_erratum_kernel_channels_are_divided_by_groups() -> None:
    x, out = (6, 5, 7), (9, 3, 4)
    with pytest.raises(ValueError, match="has 6 channels"):  # as printed
        shape(jaxconv.conv, x, (9, 6, 3, 4), groups=3)
    assert shape(jaxconv.conv, x, (9, 2, 3, 4), groups=3) == out  # corrected


def test_n0_13_depthwise(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((3, 6, 5)), rng.standard_normal((3, 1, 4, 2))
    y = jaxconv.depthwise_conv(x, w)
    assert y.shape[0] == len(x) == len(w)
    pairs = zip(x, w, strict=True)
    same(y, np.concatenate([jaxconv.conv(c[None], k[None]) for c, k in pairs]))


def test_n0_14_pointwise(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 6, 5))
    for channels in (2, 7):
        w = rng.standard_normal((channels, 3, 1, 1))
        y = jaxconv.pointwise_conv(x, w)
        assert y.shape == (2, channels, 6, 5)
        same(y, np.einsum("ncij,oc->noij", x, w[:, :, 0, 0]))


def test_n0_15_separable_is_depthwise_then_pointwise(rng: np.random.Generator) -> None:
    x, depthwise = rng.standard_normal((4, 6, 5)), rng.standard_normal((4, 1, 3, 2))
    pointwise, bias = rng.standard_normal((7, 4, 1, 1)), rng.standard_normal(7)
    y = jaxconv.separable_conv(x, depthwise, pointwise, bias)
    middle = jaxconv.depthwise_conv(x, depthwise)
    same(y, jaxconv.pointwise_conv(middle, pointwise, bias))
    full = pointwise * depthwise.swapaxes(0, 1)  # one full kernel with the same effect
    same(y, jaxconv.conv(x, full, bias))
    first = jaxconv.cost(x.shape, depthwise.shape, groups=4)
    second = jaxconv.cost(first.output_shape, pointwise.shape)
    whole = jaxconv.cost(x.shape, full.shape).multiply_adds
    ratio = Fraction(first.multiply_adds + second.multiply_adds, whole)
    assert ratio == Fraction(1, 7) + Fraction(1, 3 * 2)


@pytest.mark.parametrize("groups", [1, 2])
def test_n0_16_channels_are_mixed(groups: int, rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((4, 5)), rng.standard_normal((6, 4 // groups, 2))
    matrix = jax.jacobian(lambda x: jaxconv.conv(x, w, groups=groups))(x)
    mixes = np.asarray(matrix != 0).any((1, 3))  # output channel reads input channel
    blocks = np.kron(np.eye(groups), np.ones((6 // groups, 4 // groups))) != 0
    np.testing.assert_array_equal(mixes, blocks)
    if groups == 1:  # and adds over them
        single = [jaxconv.conv(x[c : c + 1], w[:, c : c + 1]) for c in range(4)]
        same(jaxconv.conv(x, w), np.sum(single, axis=0))
