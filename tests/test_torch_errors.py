"""What PyTorch refuses jaxconv refuses, and what it accepts jaxconv accepts."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from cases import random
from oracle import close

torch = pytest.importorskip("torch", reason="PyTorch, the witness, is not installed")
F = torch.nn.functional

Shape = tuple[int, ...]
X = {1: (2, 3, 7), 2: (2, 3, 7, 6), 3: (2, 3, 5, 6, 4)}
CONV = {1: (4, 3, 2), 2: (4, 3, 2, 5), 3: (4, 3, 2, 5, 1)}
TRANSPOSE = {1: (3, 4, 2), 2: (3, 4, 2, 5), 3: (3, 4, 2, 5, 1)}


class Call(NamedTuple):
    function: str
    x: Shape
    kernel: Shape
    bias: Shape | None
    options: dict[str, Any]

    def __str__(self) -> str:
        words = " ".join(f"{k}={v}" for k, v in self.options.items())
        return f"{self.function} {self.x} {self.kernel} {self.bias} {words}"

    def draw(self, rng: np.random.Generator) -> list[np.ndarray | None]:
        shapes = self.x, self.kernel, self.bias
        return [None if shape is None else random(rng, shape) for shape in shapes]

    def theirs(self, arrays: list[Any]) -> Any:
        ndim = len(self.kernel) - 2
        function = getattr(F, f"{self.function}{min(max(ndim, 1), 3)}d")
        tensors = [None if v is None else torch.from_numpy(v) for v in arrays]
        return function(*tensors, **self.options)

    def ours(self, arrays: list[Any]) -> Any:
        arrays = [None if v is None else jnp.asarray(v) for v in arrays]
        return getattr(jaxconv, self.function)(*arrays, **self.options)


def conv(
    x: Shape = X[1], kernel: Shape = CONV[1], bias: Shape | None = None, **options: Any
) -> Call:
    return Call("conv", x, kernel, bias, options)


def transpose(
    x: Shape = X[1],
    kernel: Shape = TRANSPOSE[1],
    bias: Shape | None = None,
    **options: Any,
) -> Call:
    return Call("conv_transpose", x, kernel, bias, options)


def both(**options: Any) -> list[Call]:
    return [conv(**options), transpose(**options)]


# Every line is a call or two that PyTorch refuses; its own error is asked for as well.
REFUSED = [
    *both(stride=0),
    *both(stride=-1),
    *both(stride=(1, 2)),
    *both(stride=()),
    *both(stride=1.0),
    *both(stride=True),
    *both(stride="1"),
    *both(stride=None),
    *both(padding=-1),
    *both(padding=(1, 1)),
    *both(padding=()),
    *both(padding=0.5),
    *both(padding=None),
    *both(padding="full"),
    *both(padding="same", stride=2),
    transpose(padding="same"),
    *both(dilation=0),
    *both(dilation=-2),
    *both(dilation=(1, 1)),
    *both(dilation=1.5),
    conv(dilation=7),
    conv(x=(2, 3, 1)),
    conv(x=(0, 3, 1)),
    conv(kernel=(4, 3, 8)),
    conv(X[2], (4, 3, 2, 7)),
    *both(groups=0),
    *both(groups=-1),
    *both(groups=2),
    conv(groups=3),
    *both(groups=1.0),
    *both(groups=(1,)),
    conv(kernel=(2, 1, 2), groups=3),
    conv(kernel=(3, 4, 2)),
    conv(kernel=(6, 1, 2)),
    transpose(kernel=(4, 3, 2)),
    transpose(kernel=(6, 1, 2), groups=3),
    *(call for shape in ((1,), (4, 1), (5,), (), (1, 4)) for call in both(bias=shape)),
    transpose(bias=(4,), groups=3),
    *both(x=(3,)),
    *both(x=(2, 3)),
    *both(x=(4, 7)),
    *both(x=(2, 2, 3, 7)),
    *both(x=(2, 1, 7)),
    *both(x=(2, 0, 7)),
    *both(x=(2, 3, 0)),
    *both(x=(2, 3, 0), padding=3),
    transpose(x=(0, 3, 0), padding=3),
    conv(kernel=(4, 3)),
    transpose(kernel=(3, 4)),
    conv(kernel=(4, 3, 0)),
    transpose(kernel=(3, 4, 0)),
    conv(X[2], (4, 3, 2, 0)),
    conv(kernel=(0, 3, 2)),
    conv(kernel=(4, 0, 2)),
    transpose(kernel=(0, 4, 2)),
    transpose(kernel=(3, 0, 2)),
    transpose(x=(2, 0, 7), kernel=(0, 4, 2)),
    conv(X[2], CONV[2], stride=(2, 1, 1)),
    conv(X[2], CONV[2], padding=(1, 0, 1, 0)),
    conv(X[2], CONV[2], padding="same", stride=(1, 2)),
    conv(X[3], CONV[3], dilation=(1, 2)),
    transpose(X[3], TRANSPOSE[3], padding=(1, 2)),
    transpose(output_padding=1),
    transpose(output_padding=2, stride=2),
    transpose(output_padding=3, stride=2, dilation=3),
    transpose(output_padding=-1),
    transpose(output_padding=(1, 1), stride=2),
    transpose(output_padding=0.5, stride=2),
    transpose(X[2], TRANSPOSE[2], output_padding=(0, 1), stride=(2, 1)),
    transpose(padding=4),
    transpose(padding=100),
    transpose(x=(2, 3, 1), padding=1),
    transpose(x=(0, 3, 1), kernel=(3, 4, 1), padding=1),
]

ACCEPTED = [
    *both(),
    *both(bias=(4,)),
    *both(stride=2),
    *both(stride=[2]),
    *both(stride=(9,)),
    *both(stride=np.int64(2)),
    *both(stride=(np.int32(3),)),
    *both(padding=[1]),
    conv(padding=100),
    transpose(padding=3),
    conv(padding="valid"),
    conv(padding="same"),
    conv(X[2], CONV[2], padding="same", dilation=[2, 1]),
    conv(dilation=6),
    transpose(dilation=6),
    transpose(groups=3),
    conv(kernel=(6, 1, 2), groups=3),
    *both(x=(3, 7)),
    *both(x=(0, 3, 7)),
    conv(X[2], CONV[2], padding=[0, 2], stride=(3, 1)),
    transpose(X[2], TRANSPOSE[2], padding=(0, 2), stride=[3, 1]),
    conv(X[3], CONV[3], stride=[1, 2, 3]),
    transpose(X[3], TRANSPOSE[3], stride=[1, 2, 3], output_padding=(0, 1, 2)),
    transpose(x=(0, 3, 1)),
    transpose(output_padding=1, stride=2),
    transpose(output_padding=[1], stride=2),
    transpose(output_padding=2, stride=2, dilation=3),
    transpose(output_padding=2, dilation=3, padding=1),
]


@pytest.mark.parametrize("call", REFUSED, ids=str)
def test_both_refuse(call: Call, rng: np.random.Generator) -> None:
    arrays = call.draw(rng)
    with pytest.raises((RuntimeError, TypeError, ValueError)):
        call.theirs(arrays)
    with pytest.raises((TypeError, ValueError)) as caught:
        call.ours(arrays)
    assert type(caught.value) in (TypeError, ValueError)  # not one of JAX's own


@pytest.mark.parametrize("call", ACCEPTED, ids=str)
def test_both_accept(call: Call, rng: np.random.Generator) -> None:
    arrays = call.draw(rng)
    close(call.ours(arrays), call.theirs(arrays).numpy(), 30, np.float64)


ONE_FOR_ALL = [
    conv(X[2], CONV[2], stride=(2,)),
    conv(X[2], CONV[2], padding=[1]),
    conv(X[2], CONV[2], dilation=(1,)),
    conv(X[3], CONV[3], stride=(2,)),
    transpose(X[2], TRANSPOSE[2], stride=(2,)),
    transpose(X[2], TRANSPOSE[2], output_padding=(1,), stride=2),
]


@pytest.mark.parametrize("call", ONE_FOR_ALL, ids=str)
def test_one_entry_for_several_axes_is_refused_here_only(
    call: Call, rng: np.random.Generator
) -> None:
    arrays = call.draw(rng)
    assert call.theirs(arrays).ndim == arrays[0].ndim
    with pytest.raises(ValueError, match="has length 1, but there are"):
        call.ours(arrays)


# PyTorch has other words and forms of padding, or none, but these are not mistakes.
MORE = [
    *both(padding="SAME"),
    *both(padding="VALID"),
    *both(padding="SAME_LOWER"),
    *both(padding="causal"),
    *both(padding=((1, 2),)),
    *both(stride=np.array([2])),
]


@pytest.mark.parametrize("call", MORE, ids=str)
def test_accepted_here_only(call: Call, rng: np.random.Generator) -> None:
    arrays = call.draw(rng)
    with pytest.raises((RuntimeError, TypeError)):
        call.theirs(arrays)
    assert call.ours(arrays).shape[:2] == (2, 4)


def test_no_input_channels(rng: np.random.Generator) -> None:
    """Both accept it.  An empty sum is zero; PyTorch drops the output channels too."""
    call = conv(x=(2, 0, 7), kernel=(4, 0, 2), bias=(4,))
    arrays = call.draw(rng)
    theirs, ours = call.theirs(arrays), call.ours(arrays)
    assert tuple(theirs.shape) == (2, 0, 6)
    np.testing.assert_array_equal(ours, np.tile(arrays[2][:, None], (2, 1, 6)))


def test_empty_space_of_an_empty_batch(rng: np.random.Generator) -> None:
    """PyTorch makes this one exception for conv, and none for conv_transpose."""
    call = conv(x=(0, 3, 0), padding=3)
    arrays = call.draw(rng)
    assert call.ours(arrays).shape == tuple(call.theirs(arrays).shape) == (0, 4, 5)
    with pytest.raises(ValueError, match="spatial axis of size zero"):
        jaxconv.conv_transpose(np.zeros((0, 4, 0)), arrays[1])


TYPES = ("float32", "float64", "bfloat16", "int32", "complex64")


@pytest.mark.parametrize("function", ["conv", "conv_transpose"])
@pytest.mark.parametrize("operand", [0, 1, 2], ids=("x", "kernel", "bias"))
@pytest.mark.parametrize("other", TYPES[1:])
def test_both_refuse_mixed_types(function: str, operand: int, other: str) -> None:
    shapes = (2, 3, 7), (3, 3, 2), (3,)
    kinds = ["float32"] * 3
    kinds[operand] = other
    tensors = [
        torch.empty(shape, dtype=getattr(torch, kind))
        for shape, kind in zip(shapes, kinds, strict=True)
    ]
    with pytest.raises(RuntimeError):
        getattr(F, f"{function}1d")(*tensors)
    arrays = [jnp.empty(shape, kind) for shape, kind in zip(shapes, kinds, strict=True)]
    with pytest.raises(TypeError, match=rf"is {kinds[0]}.* is {other}|is {other}"):
        getattr(jaxconv, function)(*arrays)


# Windows side by side -----------------------------------------------------------------

IMAGE = (2, 3, 7, 6)
UNFOLD_REFUSED = {
    "window too large": (IMAGE, (8, 1), {}),
    "window of three": (IMAGE, (2, 3, 9), {}),
    "window zero": (IMAGE, 0, {}),
    "stride zero": (IMAGE, 2, {"stride": 0}),
    "padding negative": (IMAGE, 2, {"padding": -1}),
    "dilation zero": (IMAGE, 2, {"dilation": 0}),
    "no channels": ((2, 0, 7, 6), 2, {}),
    "no space": ((2, 3, 0, 6), 2, {"padding": 2}),
    "two axes": ((7, 6), 2, {}),
    "five axes": ((1, 2, 3, 7, 6), 2, {}),
}


@pytest.mark.parametrize("name", UNFOLD_REFUSED)
def test_both_refuse_to_unfold(name: str, rng: np.random.Generator) -> None:
    shape, window, options = UNFOLD_REFUSED[name]
    x = random(rng, shape)
    with pytest.raises((RuntimeError, IndexError)):
        F.unfold(torch.from_numpy(x), window, **options)
    with pytest.raises((TypeError, ValueError)):
        jaxconv.unfold(jnp.asarray(x), window, **options)


COLUMNS = (2, 12, 30)  # of IMAGE with a window of 2
FOLD_REFUSED = {
    "too few windows": ((2, 12, 29), (7, 6), 2, {}),
    "taps do not divide": ((2, 13, 30), (7, 6), 2, {}),
    "no channels": ((2, 0, 30), (7, 6), 2, {}),
    "image too small": (COLUMNS, (1, 6), 2, {}),
    "image of zero": (COLUMNS, (0, 6), 2, {}),
    "stride zero": (COLUMNS, (7, 6), 2, {"stride": 0}),
    "four axes": ((1, 2, 12, 30), (7, 6), 2, {}),
    "one axis": ((12,), (7, 6), 2, {}),
}


@pytest.mark.parametrize("name", FOLD_REFUSED)
def test_both_refuse_to_fold(name: str, rng: np.random.Generator) -> None:
    shape, size, window, options = FOLD_REFUSED[name]
    u = random(rng, shape)
    with pytest.raises(RuntimeError):
        F.fold(torch.from_numpy(u), size, window, **options)
    with pytest.raises((TypeError, ValueError)):
        jaxconv.fold(jnp.asarray(u), size, window, **options)
