"""Values and gradients against PyTorch, argument by argument, over a drawn grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from cases import LAYOUTS, arrange, random
from oracle import close

torch = pytest.importorskip("torch", reason="PyTorch, the witness, is not installed")
F = torch.nn.functional

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
Ints = tuple[int, ...]


class Drawn(NamedTuple):
    """Shapes (channels first) and options, which mean the same to both libraries."""

    x: Ints
    kernel: Ints
    bias: Ints
    options: dict[str, Any]

    @property
    def ndim(self) -> int:
        return len(self.kernel) - 2

    @property
    def transposed(self) -> bool:
        return "output_padding" in self.options

    @property
    def terms(self) -> int:
        """At least as many as are added up anywhere, the kernel's gradient included."""
        return math.prod(self.x) + math.prod(self.kernel)


# Drawing ------------------------------------------------------------------------------

SPACE = {1: range(7, 16), 2: range(5, 10), 3: range(3, 7)}
WINDOW = {1: range(2, 6), 2: range(1, 5), 3: range(1, 4)}
FEATURES = ("any", "ints", "unbatched", "depthwise", "stride past kernel", "zero batch")
WORDS = ("same", "valid")


def ints(values: Sequence[int] | np.ndarray) -> Ints:
    return tuple(int(v) for v in values)


def distinct(rng: np.random.Generator, values: Sequence[int], count: int) -> Ints:
    return ints(rng.choice(np.array(values), count, replace=False))


def channels(rng: np.random.Generator, feature: str, space: Ints) -> Ints:
    """Batch, groups, channels per group in and out: different from each other."""
    groups = int(rng.integers(1, 4))
    c, o = distinct(rng, (2, 3, 4), 2)
    if feature == "depthwise":
        groups, c, o = int(rng.integers(2, 5)), 1, int(rng.integers(1, 3))
    taken = {groups * c, groups * o, *space}
    n = next(n for n in range(2, 9) if n not in taken)
    return (0 if feature == "zero batch" else n), groups, c, o


def draw(rng: np.random.Generator, ndim: int, feature: str, transposed: bool) -> Drawn:
    space = distinct(rng, SPACE[ndim], ndim)
    k = distinct(rng, WINDOW[ndim], ndim)
    s, d = ints(rng.integers(1, 4, ndim)), ints(rng.integers(1, 4 - ndim // 3, ndim))
    p: Any = ints(rng.integers(0, 3, ndim))
    if feature == "stride past kernel":
        s = tuple(size + 1 for size in k)
    if feature == "same":
        s, k = (1,) * ndim, tuple(2 * size for size in distinct(rng, (1, 2), 2)[:ndim])
        k = (*k, *distinct(rng, (1, 3), ndim - len(k)))
    if feature in WORDS:
        p = feature
    if feature == "ints":
        s, d, p = s[:1] * ndim, d[:1] * ndim, p[:1] * ndim
    n, groups, c, o = channels(rng, feature, space)
    options: dict[str, Any] = {"stride": s, "dilation": d, "groups": groups}
    kernel, image = (groups * o, c, *k), groups * c
    spans = [rate * (size - 1) + 1 for rate, size in zip(d, k, strict=True)]
    if transposed:
        op = tuple(int(rng.integers(0, max(pair))) for pair in zip(s, d, strict=True))
        op = tuple(max(s[a], d[a]) - 1 if a == 0 else op[a] for a in range(ndim))
        most = [(space[a] - 1) * s[a] + spans[a] + op[a] for a in range(ndim)]
        p = tuple(min(p[a], (most[a] - 1) // 2) for a in range(ndim))
        options["output_padding"], image = op, groups * o
        if feature == "ints":
            options["output_padding"], p = op[:1] * ndim, (min(p),) * ndim
    else:
        space = tuple(max(i, span) for i, span in zip(space, spans, strict=True))
    options["padding"] = p
    if feature == "ints":  # an int stands for all axes, a list for a tuple
        options = {k: v if isinstance(v, int) else v[0] for k, v in options.items()}
        options["stride"] = list(s)
    outputs = groups * (c if transposed else o)
    batch = () if feature == "unbatched" else (n,)
    return Drawn((*batch, image, *space), kernel, (outputs,), options)


# Comparing ----------------------------------------------------------------------------


def tensors(*arrays: np.ndarray) -> list[Any]:
    return [torch.from_numpy(v).requires_grad_() for v in arrays]


def torch_vjp(function: Any, arrays: Sequence[np.ndarray], rng: Any) -> Any:
    """The value, a random cotangent for it, and what PyTorch pulls back."""
    leaves = tensors(*arrays)
    y = function(*leaves)
    cotangent = random(rng, tuple(y.shape), arrays[0].dtype)
    y.backward(torch.from_numpy(cotangent))
    return y.detach().numpy(), cotangent, [leaf.grad.numpy() for leaf in leaves]


def move(v: Any, ndim: int, layout: str, operand: str = "input") -> Any:
    """A channels-first image or kernel in a layout, with a batch or without."""
    if operand == "input" and layout == "channels_last":
        return jnp.moveaxis(v, -ndim - 1, -1)
    return arrange(v, operand, layout)


def back(v: Any, ndim: int, layout: str) -> Any:
    return jnp.moveaxis(v, -1, -ndim - 1) if layout == "channels_last" else v


def compare(
    function: Any,
    witness: Any,
    arrays: Sequence[np.ndarray],
    rng: np.random.Generator,
    terms: int,
    layout: str = "channels_first",
) -> None:
    """Value and every gradient; ``function`` takes its arrays in the layout."""
    ndim = arrays[1].ndim - 2
    y, cotangent, gradients = torch_vjp(witness, arrays, rng)

    def channels_first(x: Any, kernel: Any, *bias: Any) -> Any:
        x, kernel = move(x, ndim, layout), move(kernel, ndim, layout, "kernel")
        return back(function(x, kernel, *bias, layout=layout), ndim, layout)

    @jax.jit
    def both(cotangent: Any, *arrays: Any) -> Any:
        value, pull = jax.vjp(channels_first, *arrays)
        return value, pull(cotangent)

    value, pulled = both(cotangent, *arrays)
    assert len(pulled) == len(gradients)
    for ours, theirs in zip((value, *pulled), (y, *gradients), strict=True):
        close(ours, theirs, terms, np.float64)


def check(drawn: Drawn, rng: np.random.Generator, layout: str) -> None:
    ndim, options = drawn.ndim, drawn.options
    arrays = [random(rng, shape) for shape in (drawn.x, drawn.kernel, drawn.bias)]
    theirs = (TRANSPOSE if drawn.transposed else CONV)[ndim]
    ours = jaxconv.conv_transpose if drawn.transposed else jaxconv.conv
    compare(
        lambda *v, layout: ours(*v, layout=layout, **options),
        lambda *v: theirs(*v, **options),
        arrays,
        rng,
        drawn.terms,
        layout,
    )


SEEDS = {1: (0, 1), 2: (0, 1), 3: (0,)}
over_grid = pytest.mark.parametrize(
    ("ndim", "seed"), [(ndim, seed) for ndim in SEEDS for seed in SEEDS[ndim]]
)


@over_grid
@pytest.mark.parametrize("feature", [*FEATURES, *WORDS])
def test_conv(ndim: int, seed: int, feature: str, rng: np.random.Generator) -> None:
    drawn = draw(rng, ndim, feature, transposed=False)
    check(drawn, rng, LAYOUTS[(ndim + seed) % 2])


@over_grid
@pytest.mark.parametrize("feature", FEATURES)
def test_conv_transpose(
    ndim: int, seed: int, feature: str, rng: np.random.Generator
) -> None:
    drawn = draw(rng, ndim, feature, transposed=True)
    check(drawn, rng, LAYOUTS[(ndim + seed + 1) % 2])


# What PyTorch says in two steps or in a module ----------------------------------------


def torch_pads(pads: Sequence[Ints]) -> list[int]:
    return [size for pair in reversed(pads) for size in pair]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_asymmetric_padding_is_pad_then_conv(
    ndim: int, rng: np.random.Generator
) -> None:
    drawn = draw(rng, ndim, "any", transposed=False)
    pads = [ints(rng.choice(4, 2, replace=False)) for _ in range(ndim)]
    options = {**drawn.options, "padding": 0}
    compare(
        lambda *v, layout: jaxconv.conv(
            *v, layout=layout, **options | {"padding": pads}
        ),
        lambda x, *v: CONV[ndim](F.pad(x, torch_pads(pads)), *v, **options),
        [random(rng, shape) for shape in (drawn.x, drawn.kernel, drawn.bias)],
        rng,
        drawn.terms,
        LAYOUTS[ndim % 2],
    )


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_asymmetric_padding_is_conv_transpose_then_crop(
    ndim: int, rng: np.random.Generator
) -> None:
    drawn = draw(rng, ndim, "any", transposed=True)
    pads = [(1, 0), (0, 1), (0, 2)][:ndim]
    options = {**drawn.options, "padding": 0}
    crop = torch_pads([(-lo, -hi) for lo, hi in pads])
    ours = {**options, "padding": pads}
    compare(
        lambda *v, layout: jaxconv.conv_transpose(*v, layout=layout, **ours),
        lambda *v: F.pad(TRANSPOSE[ndim](*v, **options), crop),
        [random(rng, shape) for shape in (drawn.x, drawn.kernel, drawn.bias)],
        rng,
        drawn.terms,
        LAYOUTS[ndim % 2],
    )


def module(kind: str, drawn: Drawn, **options: Any) -> Any:
    """A layer with given weights, as a function of x, kernel and bias."""
    sizes = drawn.x[-drawn.ndim - 1], drawn.bias[0], drawn.kernel[2:]
    layer = getattr(torch.nn, f"{kind}{drawn.ndim}d")(*sizes, **options).double()

    def call(x: Any, kernel: Any, bias: Any, **more: Any) -> Any:
        names = {"weight": kernel, "bias": bias}
        return torch.func.functional_call(layer, names, (x,), more)

    return call


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes(ndim: int, mode: str, rng: np.random.Generator) -> None:
    word = "same" if ndim == 2 else "any"
    drawn = draw(rng, ndim, word, transposed=False)
    options = {**drawn.options, "padding_mode": mode}
    if word == "any":
        options["padding"] = (2, 1, 0)[:ndim]
    compare(
        lambda *v, layout: jaxconv.conv(*v, layout=layout, **options),
        module("Conv", drawn, **options),
        [random(rng, shape) for shape in (drawn.x, drawn.kernel, drawn.bias)],
        rng,
        drawn.terms,
        LAYOUTS[ndim % 2],
    )


@pytest.mark.parametrize("extra", [(0, 0), (1, 1), (0, 2), (1, 0)])
def test_output_size(extra: Ints, rng: np.random.Generator) -> None:
    options = {"stride": (2, 3), "padding": (1, 2), "dilation": (3, 1), "groups": 2}
    drawn = Drawn((3, 4, 5, 6), (4, 3, 2, 4), (6,), options)
    least = (4 * 2 - 2 + 3 + 1, 5 * 3 - 4 + 3 + 1)
    size = tuple(a + b for a, b in zip(least, extra, strict=True))
    layer = module("ConvTranspose", drawn, **options)
    options = {**options, "output_size": size}
    compare(
        lambda *v, layout: jaxconv.conv_transpose(*v, layout=layout, **options),
        lambda *v: layer(*v, output_size=size),
        [random(rng, shape) for shape in (drawn.x, drawn.kernel, drawn.bias)],
        rng,
        drawn.terms,
    )


# Other types --------------------------------------------------------------------------


@pytest.mark.parametrize("transposed", [False, True], ids=("conv", "conv_transpose"))
@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "complex64", "complex128"]
)
def test_types(dtype: str, transposed: bool, rng: np.random.Generator) -> None:
    drawn = draw(rng, 2, "any", transposed)
    drawing = np.complex128 if dtype.startswith("complex") else np.float64
    arrays = [random(rng, v, drawing) for v in (drawn.x, drawn.kernel, drawn.bias)]
    theirs = (TRANSPOSE if transposed else CONV)[2]
    y = theirs(
        *(torch.from_numpy(v).to(getattr(torch, dtype)) for v in arrays),
        **drawn.options,
    )
    wide = torch.complex128 if drawing is np.complex128 else torch.float64
    function = jaxconv.conv_transpose if transposed else jaxconv.conv
    ours = function(*(jnp.asarray(v).astype(dtype) for v in arrays), **drawn.options)
    assert ours.dtype == jnp.dtype(dtype)
    close(ours, y.to(wide).numpy(), drawn.terms, jnp.dtype(dtype))


def test_complex_gradients_are_pytorchs_conjugated(rng: np.random.Generator) -> None:
    """PyTorch pulls back with the conjugate transpose, JAX with the transpose."""
    drawn = draw(rng, 1, "any", transposed=True)
    shapes = drawn.x, drawn.kernel, drawn.bias
    arrays = [random(rng, v, np.complex128) for v in shapes]
    _, cotangent, gradients = torch_vjp(
        lambda *v: F.conv_transpose1d(*v, **drawn.options), arrays, rng
    )
    _, pull = jax.vjp(
        lambda *v: jaxconv.conv_transpose(*v, **drawn.options),
        *map(jnp.asarray, arrays),
    )
    for ours, theirs in zip(pull(jnp.conj(cotangent)), gradients, strict=True):
        close(jnp.conj(ours), theirs, drawn.terms, np.complex128)


# Windows side by side -----------------------------------------------------------------

WINDOWS = {
    "ints": ((2, 3, 8, 7), 3, {"padding": 1, "stride": 2}),
    "per axis": (
        (3, 2, 9, 8),
        (2, 3),
        {"dilation": (3, 2), "padding": (1, 2), "stride": (2, 1)},
    ),
    "unbatched": ((4, 7, 9), (3, 2), {"stride": (4, 3)}),
    "zero batch": ((0, 2, 6, 5), (3, 2), {"padding": (1, 0)}),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_unfold_and_fold(name: str, rng: np.random.Generator) -> None:
    shape, window, options = WINDOWS[name]
    x, size = random(rng, shape), shape[-2:]
    u, cotangent, (gradient,) = torch_vjp(
        lambda x: F.unfold(x, window, **options), [x], rng
    )
    ours, pull = jax.vjp(lambda x: jaxconv.unfold(x, window, **options), jnp.asarray(x))
    close(ours, u, 1, np.float64)
    close(pull(jnp.asarray(cotangent))[0], gradient, 9, np.float64)
    folded = F.fold(torch.from_numpy(cotangent), size, window, **options)
    ours = jaxconv.fold(jnp.asarray(cotangent), size, window, **options)
    close(ours, folded.numpy(), 9, np.float64)


@pytest.mark.parametrize("name", WINDOWS)
def test_bools_are_unfolded_and_folded(name: str, rng: np.random.Generator) -> None:
    """They stay bools; where windows overlap, one that is True is enough."""
    shape, window, options = WINDOWS[name]
    x, size = random(rng, shape) > 0, shape[-2:]
    u = F.unfold(torch.from_numpy(x), window, **options).numpy()
    ours = jax.jit(lambda x: jaxconv.unfold(x, window, **options))(x)
    assert ours.dtype == u.dtype == np.bool_
    np.testing.assert_array_equal(ours, u)
    columns = random(rng, u.shape) > 0.9
    folded = F.fold(torch.from_numpy(columns), size, window, **options).numpy()
    ours = jax.jit(lambda u: jaxconv.fold(u, size, window, **options))(columns)
    assert ours.dtype == folded.dtype == np.bool_
    np.testing.assert_array_equal(ours, folded)
    last = jaxconv.fold(
        jaxconv.unfold(
            np.moveaxis(x, -3, -1), window, **options, layout="channels_last"
        ),
        size,
        window,
        **options,
        layout="channels_last",
    )
    read = jaxconv.fold(jaxconv.unfold(x, window, **options), size, window, **options)
    np.testing.assert_array_equal(np.moveaxis(last, -1, -3), read)
