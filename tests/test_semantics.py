"""The corners of the meaning, one test a rule; the numbers are the rules'.

What PyTorch does in them is shown in test_torch_errors.py and test_torch_parity.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
import oracle
from cases import LAYOUTS, arrange, over_layouts, random
from oracle import close

Rng = np.random.Generator
Call = Callable[..., jax.Array]


def refused(call: Call, *arrays: Any, match: str | None = None, **options: Any) -> None:
    """An error of ours, and the same one under jit and when only shapes are known."""
    arrays = tuple(jnp.asarray(v) for v in arrays)
    shaped = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in arrays]

    def bound(*v: Any) -> jax.Array:
        return call(*v, **options)

    runs = (
        lambda: bound(*arrays),
        lambda: jax.jit(bound)(*arrays),
        lambda: jax.eval_shape(bound, *shaped),
    )
    texts = set()
    for run in runs:
        with pytest.raises((ValueError, TypeError), match=match) as caught:
            run()
        assert type(caught.value) in (ValueError, TypeError)
        texts.add(str(caught.value))
    assert len(texts) == 1


def expected(
    role: str,
    a: Any,
    b: Any,
    s: Any,
    d: Any,
    pads: Any,
    extra: Any = 0,
    groups: int = 1,
) -> np.ndarray:
    """The oracle's contraction; pads are (low, high) per axis, s, d, extra ints too."""
    n = b.ndim - 2
    s, d, extra = (np.broadcast_to(v, n) for v in (s, d, extra))
    low, high = zip(*pads, strict=True)
    i = a.shape[2:]
    k = b.shape[2:]
    o = tuple(map(oracle.windows, i, k, s, d, low, high))
    if role == "input":
        i, o = _undone(a.shape[2:], k, s, d, pads, extra), a.shape[2:]
    window = oracle.Window(i, k, o, tuple(s), tuple(d), tuple(low))
    return oracle.contract(role, a, b, window, groups)


def _undone(o: Any, k: Any, s: Any, d: Any, pads: Any, extra: Any) -> tuple[int, ...]:
    """The size that puts out o, by trying one after the other, and extra elements."""
    found = []
    for axis, (lo, hi) in enumerate(pads):
        fits = (
            oracle.windows(i, k[axis], s[axis], d[axis], lo, hi) for i in range(1, 99)
        )
        found.append(1 + list(fits).index(o[axis]) + int(extra[axis]))
    return tuple(found)


# 1 to 3: the size of a transposed convolution -----------------------------------------


@pytest.mark.parametrize(("s", "d"), [(1, 1), (2, 1), (1, 3), (3, 2), (2, 4)])
def test_s01_output_padding_is_less_than_stride_or_dilation(
    s: int, d: int, rng: Rng
) -> None:
    x, w = random(rng, (2, 3, 4)), random(rng, (3, 5, 2))
    for extra in range(max(s, d)):
        z = jaxconv.conv_transpose(
            jnp.asarray(x), jnp.asarray(w), stride=s, dilation=d, output_padding=extra
        )
        close(z, expected("input", x, w, s, d, [(0, 0)], extra), 6, np.float64)
    options = {"stride": s, "dilation": d, "output_padding": max(s, d)}
    refused(jaxconv.conv_transpose, x, w, match="output_padding", **options)


def test_s01_output_padding_is_bounded_on_every_axis(rng: Rng) -> None:
    x, w = random(rng, (2, 3, 4, 5)), random(rng, (3, 2, 3, 2))
    options = {"stride": (3, 1), "dilation": (1, 2)}
    z = jaxconv.conv_transpose(
        jnp.asarray(x), jnp.asarray(w), output_padding=(2, 1), **options
    )
    pads = [(0, 0), (0, 0)]
    close(z, expected("input", x, w, (3, 1), (1, 2), pads, (2, 1)), 18, np.float64)
    for extra in ((3, 0), (0, 2)):
        refused(
            jaxconv.conv_transpose, x, w, match="axis", output_padding=extra, **options
        )


def test_s01_output_size_is_spatial_and_within_a_stride(rng: Rng) -> None:
    x, w = random(rng, (2, 3, 4, 5)), random(rng, (3, 2, 3, 2))
    options = {"stride": (3, 2), "dilation": (2, 5), "padding": (1, 0)}
    least = (3 * 3 - 2 + 5, 4 * 2 + 6)
    for a, b in itertools.product(range(-1, 4), range(-1, 3)):
        size = (least[0] + a, least[1] + b)
        if 0 <= a < 3 and 0 <= b < 2:
            z = jaxconv.conv_transpose(
                jnp.asarray(x), jnp.asarray(w), output_size=size, **options
            )
            assert z.shape == (2, 2, *size)
            want = jaxconv.conv_transpose(
                jnp.asarray(x), jnp.asarray(w), output_padding=(a, b), **options
            )
            np.testing.assert_array_equal(z, want)
        else:
            call = jaxconv.conv_transpose
            refused(call, x, w, match="must be between", output_size=size, **options)
    for size in ((2, 2, *least), least[:1]):
        refused(
            jaxconv.conv_transpose, x, w, match="length", output_size=size, **options
        )


def test_s02_output_padding_past_the_kernel_holds_the_bias_only(rng: Rng) -> None:
    x, w, b = random(rng, (2, 3, 4)), random(rng, (3, 2, 2)), random(rng, (2,))
    z = jaxconv.conv_transpose(*map(jnp.asarray, (x, w, b)), stride=5, output_padding=4)
    assert z.shape == (2, 2, 21)  # the last window ends at 3*5 + 2 = 17
    np.testing.assert_array_equal(z[..., 17:], np.tile(b[:, None], (2, 1, 4)))
    inside = expected("input", x, w, 5, 1, [(0, 0)])
    close(z[..., :17], inside + b[:, None], 4, np.float64)


def test_s02_a_result_below_one_is_refused(rng: Rng) -> None:
    x, w = random(rng, (2, 3, 4)), random(rng, (3, 2, 3))
    z = jaxconv.conv_transpose(jnp.asarray(x), jnp.asarray(w), padding=[(3, 2)])
    close(z, expected("input", x, w, 1, 1, [(3, 2)]), 9, np.float64)
    assert z.shape[2] == 1
    for pads in (3, [(3, 3)], [(7, 0)]):
        refused(jaxconv.conv_transpose, x, w, match="at least 1", padding=pads)


def test_s03_same_is_refused_with_a_stride_and_for_transposed(rng: Rng) -> None:
    x, w = random(rng, (2, 3, 7, 6)), random(rng, (3, 3, 2, 4))
    for stride in (2, (1, 2)):
        refused(jaxconv.conv, x, w, match='Write "SAME"', padding="same", stride=stride)
    for stride in (1, 2):
        call = jaxconv.conv_transpose
        refused(call, x, w, match="transposed", padding="same", stride=stride)


@over_layouts
def test_s03_same_puts_the_odd_element_at_the_end(layout: str, rng: Rng) -> None:
    x, w = random(rng, (2, 3, 7, 6)), random(rng, (4, 3, 2, 4))
    moved = arrange(jnp.asarray(x), "input", layout)
    kernel = arrange(jnp.asarray(w), "kernel", layout)
    y = jaxconv.conv(moved, kernel, padding="same", dilation=(3, 1), layout=layout)
    want = expected("output", x, w, 1, (3, 1), [(1, 2), (1, 2)])
    close(y, arrange(want, "input", layout), 24, np.float64)


# 4 to 7: what does not fit ------------------------------------------------------------


@pytest.mark.parametrize("batch", [2, 0])
def test_s04_a_kernel_past_the_padded_input_is_refused(batch: int, rng: Rng) -> None:
    x = random(rng, (batch, 3, 5, 6))
    for window, options in (
        ((6, 1), {}),
        ((1, 7), {}),
        ((3, 2), {"dilation": (1, 6)}),
        ((2, 9), {"padding": (0, 1)}),
        ((7, 2), {"padding": [(1, 0), (4, 4)]}),
    ):
        w = random(rng, (4, 3, *window))
        refused(jaxconv.conv, x, w, match="more than the padded input", **options)
    w = random(rng, (4, 3, 7, 8))
    pads = [(0, 2), (1, 1)]
    y = jaxconv.conv(jnp.asarray(x), jnp.asarray(w), padding=pads)
    close(y, expected("output", x, w, 1, 1, pads), 168, np.float64)


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
@pytest.mark.parametrize("odd", ["x", "kernel", "bias"])
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.bfloat16, jnp.int32, jnp.complex64])
def test_s05_operands_of_different_types_are_refused(
    call: Call, odd: str, dtype: Any, rng: Rng
) -> None:
    shapes = {"x": (2, 3, 5), "kernel": (3, 3, 2), "bias": (3,)}
    arrays = [
        random(rng, shape).astype(dtype if name == odd else np.float32)
        for name, shape in shapes.items()
    ]
    refused(call, *arrays, match=rf"(?s){np.dtype(dtype).name}")


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
def test_s06_bias_has_one_entry_per_output_channel(call: Call, rng: Rng) -> None:
    x, w = random(rng, (2, 4, 5)), random(rng, (4, 4, 2))
    for shape in ((1,), (4, 1), (1, 4), (), (3,), (5,), (0,)):
        refused(call, x, w, random(rng, shape), match=r"exactly shape \(4,\)")


def test_s06_groups_split_the_channels(rng: Rng) -> None:
    x = random(rng, (2, 6, 5))
    for groups in (0, -2):
        for call in (jaxconv.conv, jaxconv.conv_transpose):
            refused(call, x, random(rng, (6, 6, 2)), match="groups", groups=groups)
    refused(jaxconv.conv, x, random(rng, (4, 2, 2)), match="divide", groups=3)
    refused(jaxconv.conv, x, random(rng, (2, 2, 2)), match="divide", groups=3)
    refused(jaxconv.conv, x, random(rng, (6, 3, 2)), match="channels", groups=3)
    refused(jaxconv.conv_transpose, x, random(rng, (6, 2, 2)), match="divide", groups=4)


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
def test_s06_an_empty_kernel_is_refused(call: Call, rng: Rng) -> None:
    x = random(rng, (2, 3, 5, 4))
    for shape in ((3, 3, 0, 2), (3, 3, 2, 0), (0, 3, 1, 2)):
        refused(call, x, random(rng, shape))


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
def test_s07_two_ints_are_not_a_pair(call: Call, rng: Rng) -> None:
    line = random(rng, (2, 3, 9)), random(rng, (3, 3, 2))
    refused(call, *line, match=r"length 2.*\(low, high\)", padding=(1, 1))
    refused(call, *line, match="length 2", padding=[1, 2])
    arrays = tuple(map(jnp.asarray, line))
    np.testing.assert_array_equal(
        call(*arrays, padding=[1], stride=[2]), call(*arrays, padding=(1,), stride=(2,))
    )
    np.testing.assert_array_equal(
        call(*arrays, padding=[[1, 1]]), call(*arrays, padding=((1, 1),))
    )


# 8 to 10: empty batches, transposed layout, unfold ------------------------------------


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
@over_layouts
def test_s08_a_zero_batch_works_gradients_included(
    call: Call, mode: str, layout: str, rng: Rng
) -> None:
    x, w = random(rng, (0, 4, 7, 6)), random(rng, (4, 4, 3, 2))
    x, w = arrange(x, "input", layout), arrange(w, "kernel", layout)
    options = {"padding": (1, 2), "padding_mode": mode, "layout": layout}

    def total(x: Any, w: Any, b: Any) -> Any:
        return jnp.sin(call(x, w, b, **options)).sum()

    arrays = jnp.asarray(x), jnp.asarray(w), jnp.asarray(random(rng, (4,)))
    assert call(*arrays, **options).shape[0] == 0
    for gradient, v in zip(jax.grad(total, (0, 1, 2))(*arrays), arrays, strict=True):
        np.testing.assert_array_equal(gradient, np.zeros(v.shape))


def test_s08_unfold_and_fold_take_a_zero_batch(rng: Rng) -> None:
    for layout in LAYOUTS:
        x = jnp.asarray(arrange(random(rng, (0, 3, 7, 6)), "input", layout))
        u, pull = jax.vjp(lambda x, f=layout: jaxconv.unfold(x, (2, 4), layout=f), x)
        assert u.shape == ((0, 24, 18) if layout == "channels_first" else (0, 18, 24))
        assert pull(u)[0].shape == x.shape
        assert jaxconv.fold(u, (7, 6), (2, 4), layout=layout).shape == x.shape


def test_s08_unfold_and_fold_refuse_other_empty_axes(rng: Rng) -> None:
    for shape in ((2, 0, 7, 6), (2, 3, 0, 6), (2, 3, 7, 0)):
        refused(jaxconv.unfold, random(rng, shape), kernel_size=2, padding=3)
    u = random(rng, (2, 0, 30))
    refused(jaxconv.fold, u, output_size=(7, 6), kernel_size=2)
    refused(jaxconv.fold, random(rng, (2, 4, 0)), output_size=(0, 6), kernel_size=2)


def test_s09_a_transposed_kernel_is_in_out_per_group(rng: Rng) -> None:
    x, w, b = random(rng, (2, 6, 5)), random(rng, (6, 4, 3)), random(rng, (12,))
    z = jaxconv.conv_transpose(*map(jnp.asarray, (x, w, b)), stride=2, groups=3)
    want = expected("input", x, w, 2, 1, [(0, 0)], groups=3) + b[:, None]
    close(z, want, 6, np.float64)
    call = jaxconv.conv_transpose
    refused(call, x, w, b[:4], match=r"\(12,\)", groups=3)
    refused(call, x, random(rng, (4, 3, 3)), match="channels", groups=2)


def test_s10_unfold_names_what_pytorch_orders(rng: Rng) -> None:
    """PyTorch's positional order is dilation, padding, stride: here they are named."""
    x = jnp.asarray(random(rng, (2, 3, 9, 8)))
    with pytest.raises(TypeError):
        jaxconv.unfold(x, (3, 2), 2, 1, 3)  # type: ignore[misc]
    u = jaxconv.unfold(x, (3, 2), dilation=2, padding=1, stride=3)
    assert u.shape == (2, 18, 3 * 3)


# 12 to 14 -----------------------------------------------------------------------------


@pytest.mark.parametrize("call", [jaxconv.conv, jaxconv.conv_transpose])
def test_s12_bfloat16_stays_within_a_hundredth(call: Call, rng: Rng) -> None:
    shapes = (2, 32, 9, 8), (32, 32, 3, 2), (32,)
    narrow = [jnp.asarray(random(rng, v)).astype(jnp.bfloat16) for v in shapes]
    y = call(*narrow, stride=2)
    assert y.dtype == jnp.bfloat16
    exact = np.asarray(call(*(v.astype(jnp.float64) for v in narrow), stride=2))
    error = np.abs(np.asarray(y.astype(jnp.float64)) - exact)
    assert error.max() <= 1e-2 * np.abs(exact).max()


OPERATIONS: dict[str, tuple[Call, tuple[Any, ...]]] = {
    "conv": (
        lambda x, w, b: jaxconv.conv(x, w, b, stride=2, padding=1),
        ((1, 2, 5), (3, 2, 3), (3,)),
    ),
    "conv_transpose": (
        lambda x, w, b: jaxconv.conv_transpose(x, w, b, stride=2, padding=1),
        ((1, 3, 4), (3, 2, 3), (2,)),
    ),
    "reflect": (
        lambda x, w: jaxconv.conv_transpose(x, w, padding=2, padding_mode="reflect"),
        ((1, 3, 6), (3, 2, 3)),
    ),
    "unfold and fold": (
        lambda x: jaxconv.fold(jaxconv.unfold(x, (2,)) ** 3, (5,), (2,)),
        ((1, 2, 5),),
    ),
    "separable_conv": (
        lambda x, d, p: jaxconv.separable_conv(x, d, p, padding=1),
        ((1, 2, 5), (4, 1, 3), (3, 4, 1)),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_s13_second_order_and_forward_mode(name: str, rng: Rng) -> None:
    """Against finite differences of the value, and of the gradient."""
    call, shapes = OPERATIONS[name]
    arrays = [jnp.asarray(random(rng, shape)) for shape in shapes]
    along = [jnp.asarray(random(rng, shape)) for shape in shapes]

    def total(*arrays: Any) -> Any:
        return jnp.sin(call(*arrays)).sum()

    def moved(fun: Callable[..., Any], step: float) -> Any:
        return fun(*(v + step * a for v, a in zip(arrays, along, strict=True)))

    gradient = jax.jit(jax.grad(total, tuple(range(len(arrays)))))
    for fun in (jax.jit(total), gradient):
        ahead, behind = moved(fun, 1e-5), moved(fun, -1e-5)
        _, tangent = jax.jit(lambda *v, fun=fun: jax.jvp(fun, v, tuple(along)))(*arrays)
        for t, a, b in zip(
            *map(jax.tree.leaves, (tangent, ahead, behind)), strict=True
        ):
            np.testing.assert_allclose(t, (a - b) / 2e-5, rtol=1e-6, atol=1e-6)
            assert np.abs(t).max() > 1e-3


@pytest.mark.parametrize(("i", "k", "s"), [(3, 2, 4), (5, 3, 2), (4, 2, 3), (7, 3, 1)])
def test_s14_onnx_output_shape_with_negative_padding(i: int, k: int, s: int) -> None:
    """ONNX pads by (i-1)s + k - size in all; if negative, elements come at the end.

    Then no element is cropped and size - ((i-1)s + k) ones come last.
    """
    uncropped = (i - 1) * s + k
    for size in range(uncropped, uncropped + s):
        total = uncropped - size
        assert total <= 0
        found = jaxconv.conv_transpose_output_size(
            i, k, stride=s, output_padding=-total
        )
        assert found == size
        shaped = [jax.ShapeDtypeStruct(v, np.float32) for v in ((1, 2, i), (2, 3, k))]
        result = jax.eval_shape(
            lambda x, w, size=size: jaxconv.conv_transpose(
                x, w, stride=s, output_size=(size,)
            ),
            *shaped,
        )
        assert result.shape == (1, 3, size)
