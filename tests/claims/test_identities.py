"""The identities behind the claims, over a generated grid of geometries.

<conv(x), y> = <x, conv_transpose(y)>; conv's Jacobian is its matrix; and all that is
called a transpose of conv (vjp, linear_transpose, the notes' methods, lax's own
gradient, PyTorch's) is one and the same map.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from methods import pytorch, same, undo

import jaxconv
from cases import LAYOUTS, arrange

Ints = tuple[int, ...]
matrix_of = jaxconv.conv_matrix
Pairs = tuple[tuple[int, int], ...]


class Place(NamedTuple):
    """A convolution's geometry with its groups; extra is the output_padding."""

    input: Ints
    kernel: Ints
    output: Ints
    stride: Ints
    dilation: Ints
    padding: Pairs
    extra: Ints
    groups: int

    @property
    def arguments(self) -> dict[str, Any]:
        names = ("stride", "dilation", "padding", "groups")
        return {name: getattr(self, name) for name in names}

    def draw(self, rng: np.random.Generator, layout: str) -> tuple[np.ndarray, ...]:
        """x, kernel and y, with different channels per group, and a batch."""
        c, o = {1: (2, 5), 2: (2, 3), 3: (1, 2)}[self.groups]
        shapes = {
            "input": (7, self.groups * c, *self.input),
            "kernel": (self.groups * o, c, *self.kernel),
            "output": (7, self.groups * o, *self.output),
        }
        drawn = ((name, rng.standard_normal(shape)) for name, shape in shapes.items())
        return tuple(arrange(v, name, layout).copy() for name, v in drawn)


def _place(groups: int, *axes: Ints) -> Place:
    """Axes are (k, s, d, lo, hi, extra, o); the input sizes follow from them."""
    k, s, d, lo, hi, extra, o = zip(*axes, strict=True)
    i = tuple(
        (o - 1) * s - lo - hi + d * (k - 1) + extra + 1
        for k, s, d, lo, hi, extra, o in axes
    )
    return Place(i, k, o, s, d, tuple(zip(lo, hi, strict=True)), extra, groups)


def _places() -> Iterator[Place]:
    """Drawn in 1, 2 and 3 dimensions, with sizes that differ between the axes."""
    draw = np.random.default_rng(15)
    axes = [
        (k, s, d, lo, hi, extra)
        for k, s, d in itertools.product((1, 2, 3), (1, 2, 3), (1, 2))
        for lo, hi in ((0, 0), (1, 1), (1, 2), (3, 0))
        for extra in range(s)
    ]
    for ndim, count in ((1, 6), (2, 4), (3, 2)):
        found = 0
        while found < count:
            chosen = draw.choice(len(axes), ndim, replace=False)
            place = _place(
                1 + found % 3, *((*axes[n], 3 + a) for a, n in enumerate(chosen))
            )
            distinct = len(set(place.input)) == len(set(place.kernel)) == ndim
            if distinct and min(place.input) > 1 and np.prod(place.input) < 250:
                found += 1
                yield place


PLACES = tuple(_places())
# lax's gradient is wrong or fatal on some CPUs where it must crop (negative padding).
UNCROPPED = tuple(
    place
    for place in PLACES
    if all(
        d * (k - 1) >= max(pair)
        for k, d, pair in zip(place.kernel, place.dilation, place.padding, strict=True)
    )
)
# Every padding mode can fill these: at most one less than the input.
FILLABLE = (
    _place(1, (3, 2, 1, 2, 3, 1, 4)),
    _place(2, (2, 1, 2, 1, 0, 0, 5), (3, 3, 1, 0, 2, 2, 3)),
    _place(3, (1, 1, 1, 1, 0, 0, 3), (2, 2, 1, 1, 1, 0, 3), (3, 1, 1, 0, 2, 0, 3)),
)


def over(places: tuple[Place, ...]) -> pytest.MarkDecorator:
    names = [f"{len(place.kernel)}d-{n}" for n, place in enumerate(places)]
    return pytest.mark.parametrize("place", places, ids=names)


def in_turn(places: tuple[Place, ...], first: int = 0) -> pytest.MarkDecorator:
    """Each place in one layout, the next in the other."""
    pairs = [
        pytest.param(place, LAYOUTS[(n + first) % 2], id=f"{len(place.kernel)}d-{n}")
        for n, place in enumerate(places)
    ]
    return pytest.mark.parametrize(("place", "layout"), pairs)


over_modes = pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])


def test_the_grid_holds_every_kind() -> None:
    for places in (PLACES, UNCROPPED):
        assert {len(place.kernel) for place in places} == {1, 2, 3}
        assert {s for place in places for s in place.stride} == {1, 2, 3}
        assert {d for place in places for d in place.dilation} == {1, 2}
        assert {e for place in places for e in place.extra} == {0, 1, 2}
        assert {place.groups for place in places} == {1, 2, 3}
        assert any(lo != hi for place in places for lo, hi in place.padding)
    assert len(UNCROPPED) < len(PLACES)


# Each identity ------------------------------------------------------------------------


def inner(a: Any, b: Any) -> float:
    return float(np.vdot(np.asarray(a), np.asarray(b)))


def one_transpose(
    place: Place, layout: str, mode: str, rng: np.random.Generator
) -> None:
    """The methods, the matrix, vjp and linear_transpose; and the adjoint identity."""
    given = {**place.arguments, "layout": layout, "padding_mode": mode}
    x, w, dy = place.draw(rng, layout)
    z = undo(dy, w, output_padding=place.extra, **given)
    matrix = np.asarray(jax.jit(lambda w: matrix_of(w, x.shape[1:], **given))(w))
    same(z, (dy.reshape(7, -1) @ matrix).reshape(x.shape))

    def conv(x: jax.Array) -> jax.Array:
        return jaxconv.conv(x, w, **given)

    @jax.jit
    def three(x: jax.Array, dy: jax.Array) -> tuple[jax.Array, ...]:
        y, pull = jax.vjp(conv, x)
        return y, pull(dy)[0], jax.linear_transpose(conv, x)(dy)[0]

    y, *transposes = three(x, dy)
    for transpose in transposes:
        same(transpose, z)
    same(y, (x.reshape(7, -1) @ matrix.T).reshape(dy.shape))
    scale = np.linalg.norm(y) * np.linalg.norm(dy)
    assert abs(inner(y, dy) - inner(x, z)) <= 1e-13 * scale


def matrix_is_the_jacobian(
    place: Place, layout: str, mode: str, rng: np.random.Generator
) -> None:
    given = {**place.arguments, "layout": layout, "padding_mode": mode}
    x, w, _ = place.draw(rng, layout)

    @jax.jit
    def three(x: jax.Array, w: jax.Array) -> tuple[jax.Array, ...]:
        sparse = matrix_of(w, x.shape, sparse=True, **given)
        found = jax.jacobian(lambda x: jaxconv.conv(x, w, **given))(x)
        return matrix_of(w, x.shape, **given), sparse.todense(), found

    matrix, sparse, found = three(x[0], w)
    same(matrix, found.reshape(matrix.shape))
    same(sparse, matrix)


@in_turn(PLACES)
def test_one_transpose(place: Place, layout: str, rng: np.random.Generator) -> None:
    one_transpose(place, layout, "zeros", rng)


@in_turn(PLACES, 1)
def test_matrix_is_the_jacobian(
    place: Place, layout: str, rng: np.random.Generator
) -> None:
    matrix_is_the_jacobian(place, layout, "zeros", rng)


@over_modes
@in_turn(FILLABLE)
def test_one_transpose_of_padding_modes(
    place: Place, layout: str, mode: str, rng: np.random.Generator
) -> None:
    one_transpose(place, layout, mode, rng)


@over_modes
@in_turn(FILLABLE, 1)
def test_matrix_is_the_jacobian_of_padding_modes(
    place: Place, layout: str, mode: str, rng: np.random.Generator
) -> None:
    matrix_is_the_jacobian(place, layout, mode, rng)


# Witnesses ----------------------------------------------------------------------------


def lax_conv(x: Any, w: Any, place: Place, layout: str, padding: Any) -> jax.Array:
    space = "XYZ"[: len(place.kernel)]
    first = layout == "channels_first"
    image, kernel = f"NC{space}", f"OI{space}"
    if not first:
        image, kernel = f"N{space}C", f"{space}IO"
    return lax.conv_general_dilated(
        x,
        w,
        place.stride,
        padding,
        rhs_dilation=place.dilation,
        dimension_numbers=(image, kernel, image),
        feature_group_count=place.groups,
    )


def holds(
    witness: Any, place: Place, layout: str, rng: np.random.Generator, **more: Any
) -> None:
    """conv is the witness, a function of x and w, and conv_transpose its gradient."""
    given = {**place.arguments, "layout": layout, **more}

    @jax.jit
    def four(x: jax.Array, w: jax.Array, dy: jax.Array) -> tuple[jax.Array, ...]:
        y, pull = jax.vjp(lambda x: witness(x, w), x)
        z = jaxconv.conv_transpose(dy, w, output_padding=place.extra, **given)
        return jaxconv.conv(x, w, **given), y, z, pull(dy)[0]

    y, wanted, z, gradient = four(*place.draw(rng, layout))
    same(y, wanted)
    same(z, gradient)


@in_turn(UNCROPPED)
def test_gradient_of_lax(place: Place, layout: str, rng: np.random.Generator) -> None:
    def witness(x: jax.Array, w: jax.Array) -> jax.Array:
        return lax_conv(x, w, place, layout, place.padding)

    holds(witness, place, layout, rng)


@over_modes
@in_turn(FILLABLE)
def test_gradient_of_pad_and_lax(
    place: Place, layout: str, mode: str, rng: np.random.Generator
) -> None:
    widths = [(0, 0), *place.padding]
    widths.insert(1 if layout == "channels_first" else len(widths), (0, 0))
    numpys = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}

    def padded(x: jax.Array, w: jax.Array) -> jax.Array:
        x = jnp.pad(x, widths, mode=numpys[mode])
        return lax_conv(x, w, place, layout, "VALID")

    holds(padded, place, layout, rng, padding_mode=mode)


@over(PLACES)
def test_gradient_and_transpose_of_pytorch(
    place: Place, rng: np.random.Generator
) -> None:
    torch, ndim = pytorch(), len(place.kernel)
    x, w, dy = (torch.tensor(v) for v in place.draw(rng, "channels_first"))
    x.requires_grad_()
    given = {name: v for name, v in place.arguments.items() if name != "padding"}
    sides = [size for pair in reversed(place.padding) for size in pair]
    framed = torch.nn.functional.pad(x, sides)
    y = getattr(torch.nn.functional, f"conv{ndim}d")(framed, w, **given)
    (dx,) = torch.autograd.grad(y, x, dy)
    weights, arguments = w.numpy(), place.arguments
    same(jaxconv.conv(x.detach().numpy(), weights, **arguments), y.detach().numpy())
    z = jaxconv.conv_transpose(
        dy.numpy(), weights, output_padding=place.extra, **arguments
    )
    same(z, dx.numpy())
    transpose = getattr(torch.nn.functional, f"conv_transpose{ndim}d")
    whole = transpose(dy, w, output_padding=place.extra, **given)
    cuts = zip(place.padding, place.input, strict=True)
    inside = tuple(slice(lo, lo + i) for (lo, _), i in cuts)
    same(z, whole[(..., *inside)].numpy())
