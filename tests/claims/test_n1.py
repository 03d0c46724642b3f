"""N1: convolution arithmetic."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from methods import border, differ, pytorch, same, shape, stretch, turn, undo

import jaxconv


@pytest.mark.parametrize("p", [0, 2])
@pytest.mark.parametrize("s", [1, 3])
def test_n1_01_size_in_four_cases(s: int, p: int) -> None:
    for i, k in ((7, 3), (10, 4), (12, 5)):
        o = (i + 2 * p - k) // s + 1
        assert jaxconv.conv_output_size(i, k, stride=s, padding=p) == o
        out = shape(jaxconv.conv, (2, 3, i), (4, 3, k), stride=s, padding=p)
        assert out == (2, 4, o)


def test_n1_02_backward_multiplies_by_the_transpose(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 7, 6)), rng.standard_normal((3, 2, 3, 2))
    given: dict[str, Any] = {"stride": 2, "padding": 1}
    matrix = np.asarray(jaxconv.conv_matrix(w, x.shape, **given))
    y, pull = jax.vjp(lambda x: jaxconv.conv(x, w, **given), x)
    same(y.ravel(), matrix @ x.ravel())
    dy = np.cos(y)  # that of the loss sum(sin(y))
    loss = jax.grad(lambda x: jnp.sin(jaxconv.conv(x, w, **given)).sum())(x)
    same(loss.ravel(), matrix.T @ dy.ravel())
    same(pull(dy)[0], loss)
    # Height 7 is what conv's windows cover exactly; of width 6 they leave one out.
    z, pull = jax.vjp(
        lambda y: jaxconv.conv_transpose(y, w, output_padding=(0, 0), **given), dy
    )
    assert z.shape == x.shape
    same(z.ravel(), matrix.T @ dy.ravel())
    same(pull(x)[0].ravel(), matrix @ x.ravel())


def test_n1_03_sparse_matrix(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((1, 4, 4)), rng.standard_normal((1, 1, 3, 3))
    sparse = jaxconv.conv_matrix(w, x.shape, sparse=True)
    assert sparse.shape == (4, 16)
    assert sparse.nse == 4 * 9  # of 64
    dense = np.asarray(jaxconv.conv_matrix(w, x.shape))
    same(sparse.todense(), dense)
    for row in dense:
        np.testing.assert_array_equal(row[row != 0], w.ravel())
    same((dense @ x.ravel()).reshape(1, 2, 2), np.asarray(jaxconv.conv(x, w)))


def relation(
    i: int, k: int, s: int, p: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An input of a transposed convolution, its kernel, and C."""
    o = jaxconv.conv_output_size(i, k, stride=s, padding=p)
    assert isinstance(o, int)
    y, w = rng.standard_normal((2, o, o)), rng.standard_normal((2, 3, k, k))
    matrix = np.asarray(jaxconv.conv_matrix(w[:1, :1], (1, i, i), stride=s, padding=p))
    return y, w, matrix.reshape(o, o, i, i)


def test_n1_04_transposed_without_padding(rng: np.random.Generator) -> None:
    y, w, _ = relation(4, 3, 1, 0, rng)
    assert y.shape == (2, 2, 2)
    z = undo(y, w)
    assert z.shape == (3, 4, 4)
    same(z, jaxconv.conv(y, turn(w), stride=1, padding=2))


def test_n1_05_transposed_with_padding(rng: np.random.Generator) -> None:
    y, w, matrix = relation(5, 4, 1, 2, rng)
    assert y.shape == (2, 6, 6)
    z = undo(y, w, padding=2)
    assert z.shape == (3, 5, 5)
    same(z, jaxconv.conv(y, turn(w), padding=4 - (2 + 1)))
    assert np.count_nonzero(matrix[:, :, 0, 0]) == 3 * 3


def test_n1_06_transposed_with_stride(rng: np.random.Generator) -> None:
    y, w, _ = relation(5, 3, 2, 0, rng)
    assert y.shape == (2, 2, 2)
    z = undo(y, w, stride=2)
    assert z.shape == (3, 5, 5)
    same(z, jaxconv.conv(border(stretch(y, 2), 2, 2), turn(w), stride=1))


def test_n1_06_erratum_the_stretched_input_and_step_one() -> None:
    i, k, s, p = 2, 3, 2, 2  # as printed, with their primes
    size = jaxconv.conv_transpose_output_size(2, 3, stride=2)
    assert (i + 2 * p - k) // s + 1 == 2 != size
    stretched = (i - 1) * s + 1
    assert (stretched + 2 * p - k) // 1 + 1 == 5 == size  # corrected


def test_n1_07_transposed_with_padding_and_stride(rng: np.random.Generator) -> None:
    y, w, matrix = relation(5, 3, 2, 1, rng)
    assert y.shape == (2, 3, 3)
    z = undo(y, w, stride=2, padding=1)
    assert z.shape == (3, 5, 5)
    same(z, jaxconv.conv(stretch(y, 2), turn(w), padding=1))
    assert np.count_nonzero(matrix[:, :, 0, 0]) == 1
    assert np.count_nonzero(matrix[:, :, 0, 1]) == 2


def test_n1_08_transposed_convolution_is_the_gradient(rng: np.random.Generator) -> None:
    x, w = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, 3, 2))
    given: dict[str, Any] = {"stride": 2, "padding": 1}
    y, pull = jax.vjp(lambda x: jaxconv.conv(x, w, **given), x)
    dy = rng.standard_normal(y.shape)
    same(undo(dy, w, output_padding=0, **given), pull(dy)[0])


def test_n1_08_and_is_implemented_that_way(rng: np.random.Generator) -> None:
    """Both bind one primitive with the same parameters."""
    x, w = rng.standard_normal((3, 9)), rng.standard_normal((4, 3, 3))
    _, pull = jax.vjp(lambda x: jaxconv.conv(x, w, stride=2), x)
    dy = rng.standard_normal((4, 4))

    def bound(fun: Any) -> list[Any]:
        equations = jax.make_jaxpr(fun)(dy).eqns
        found = [(e.primitive.name, e.params) for e in equations]
        return [entry for entry in found if entry[0].startswith("jaxconv")]

    forward = bound(lambda y: jaxconv.conv_transpose(y, w, stride=2))
    assert len(forward) == 1
    assert bound(lambda y: pull(y)[0]) == forward


def test_n1_08_gradient_in_pytorch(rng: np.random.Generator) -> None:
    torch = pytorch()
    dy, w = rng.standard_normal((2, 4, 5, 5)), rng.standard_normal((4, 3, 3, 2))
    dx = torch.nn.grad.conv2d_input(
        (2, 3, 9, 8), torch.tensor(w), torch.tensor(dy), stride=2, padding=1
    )
    same(undo(dy, w, stride=2, padding=1), dx.numpy())


def test_n1_09_erratum_the_pair_restores_every_second_size() -> None:
    k, s = 3, 2
    for i in range(6, 14):
        o = jaxconv.conv_output_size(i, k, stride=s, padding=0, dilation=1)
        back = jaxconv.conv_transpose_output_size(
            o, k, stride=s, padding=0, output_padding=1
        )
        assert (back == i) == ((i - k) % 2 == 1)  # printed as if always
        corrected = jaxconv.conv_transpose_output_size(
            o, k, stride=s, output_padding=(i - k) % s
        )
        assert corrected == i


def test_n1_09_erratum_the_sixth_argument_in_pytorch() -> None:
    torch = pytorch()
    names = [
        list(inspect.signature(layer).parameters)[5]
        for layer in (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    ]
    assert names == ["dilation", "output_padding"]
    conv = torch.nn.Conv2d(16, 32, 3, 2, 0, 1)
    back = torch.nn.ConvTranspose2d(32, 16, 3, 2, 0, 1)
    for i in (8, 9):
        x = torch.rand(1, 16, i, i)
        assert (back(conv(x)).shape == x.shape) == ((i - 3) % 2 == 1)


def test_n1_10_padding_is_that_of_the_convolution_undone(
    rng: np.random.Generator,
) -> None:
    y, w = rng.standard_normal((4, 5, 6)), rng.standard_normal((4, 3, 3, 4))
    whole, cropped = undo(y, w, stride=2), undo(y, w, stride=2, padding=1)
    same(cropped, whole[:, 1:-1, 1:-1])
    x = jax.ShapeDtypeStruct(cropped.shape, cropped.dtype)
    undone = jax.linear_transpose(lambda x: jaxconv.conv(x, w, stride=2, padding=1), x)
    same(cropped, undone(y)[0])
    zeros = np.pad(y, ((0, 0), (1, 1), (1, 1)))  # zeros around its own input: larger
    larger = shape(jaxconv.conv_transpose, zeros.shape, w.shape, stride=2)
    assert np.all(np.array(larger[1:]) > whole.shape[1:])


def test_n1_10_padding_in_pytorch(rng: np.random.Generator) -> None:
    torch = pytorch()
    y, w = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((4, 3, 3, 4))
    z = torch.nn.functional.conv_transpose2d(
        torch.tensor(y), torch.tensor(w), stride=2, padding=1
    )
    same(undo(y, w, stride=2, padding=1), z.numpy())


def test_n1_11_it_is_no_deconvolution(rng: np.random.Generator) -> None:
    """A deconvolution solves y = Cx for x; here that is possible, and differs."""
    x, w = rng.standard_normal((1, 5, 4)), rng.standard_normal((1, 1, 3, 2))
    given: dict[str, Any] = {"padding": ((2, 2), (1, 1))}  # the full convolution
    y = jaxconv.conv(x, w, **given)
    matrix = np.asarray(jaxconv.conv_matrix(w, x.shape, **given))
    solved, _, rank, _ = np.linalg.lstsq(matrix, np.ravel(y))
    assert rank == x.size
    np.testing.assert_allclose(solved, x.ravel(), atol=1e-9)
    assert differ(undo(y, w, **given), x)


def test_n1_11_fractionally_strided(rng: np.random.Generator) -> None:
    """Stride 1/s: each result moves the window by 1/s of an input element."""
    y, w = rng.standard_normal((2, 5)), rng.standard_normal((2, 3, 4))
    z = undo(y, w, stride=3)
    shifted = undo(np.pad(y, ((0, 0), (1, 0))), w, stride=3)
    same(shifted[:, 3:], z)  # one element of the input is 3 of the result
    assert not shifted[:, :3].any()


def test_n1_11_decoders_double_the_size() -> None:
    """Autoencoders, segmentation, generators: back up through the same sizes."""
    small = (2, 7, 4, 5)
    middle = shape(jaxconv.conv_transpose, small, (7, 6, 4, 4), stride=2, padding=1)
    large = shape(jaxconv.conv_transpose, middle, (6, 3, 4, 4), stride=2, padding=1)
    assert (middle, large) == ((2, 6, 8, 10), (2, 3, 16, 20))
    down = shape(jaxconv.conv, large, (6, 3, 4, 4), stride=2, padding=1)
    assert shape(jaxconv.conv, down, (7, 6, 4, 4), stride=2, padding=1) == small
