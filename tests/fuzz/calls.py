"""A call of the public interface, as data: it prints as the Python that makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxconv
from fuzz import reference as ref
from fuzz.reference import Operation, Refused
from oracle import Ints

TRANSPOSED = ("conv_transpose",)
# What stands between the arrays and the options.
BETWEEN = {
    "unfold": ("kernel_size",),
    "fold": ("output_size", "kernel_size"),
    "conv_matrix": ("input_shape",),
}


@dataclass(frozen=True)
class Call:
    """A public function, the shapes of its arrays, its options, and what is done to it.

    ``steps`` are transformations from the inside out, see `transforms`; ``engine`` is
    what computes: "numpy" evaluates the jaxpr, "xla" compiles it, "eager" neither.
    """

    function: str
    shapes: tuple[Ints, ...]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float64"
    steps: tuple[tuple[Any, ...], ...] = ()
    engine: str = "numpy"
    seed: int = 0

    def __repr__(self) -> str:
        given = [repr(self.function), repr(self.shapes)]
        for name in ("options", "dtype", "steps", "engine", "seed"):
            value = getattr(self, name)
            if value not in ({}, (), 0) and (name, value) not in _USUAL:
                given.append(f"{name}={value!r}")
        return f"Call({', '.join(given)})"

    @property
    def last(self) -> bool:
        return self.options.get("layout") == "channels_last"

    def run(self, *arrays: Any) -> Any:
        between = BETWEEN.get(self.function, ())
        given = [self.options[name] for name in between]
        options = {k: v for k, v in self.options.items() if k not in between}
        return getattr(jaxconv, self.function)(*arrays, *given, **options)

    def draw(self, rng: np.random.Generator, shape: Ints) -> np.ndarray:
        """Short numbers, so that sums of 16-bit types are exact before they round."""
        dtype = jnp.dtype(self.dtype)
        if jnp.issubdtype(dtype, jnp.integer):
            least = 0 if jnp.issubdtype(dtype, jnp.unsignedinteger) else -4
            return rng.integers(least, 5, shape).astype(dtype)
        values = rng.standard_normal(shape)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            return (values + 1j * rng.standard_normal(shape)).astype(dtype)
        if dtype.itemsize < 4:
            values = np.round(4 * values) / 4
        return values.astype(dtype)

    @property
    def result_dtype(self) -> np.dtype:
        preferred = self.options.get("preferred_element_type")
        if preferred is not None:
            return jnp.dtype(preferred)
        dtype = jnp.dtype(self.dtype)
        if self.function in ("unfold", "fold", "conv_matrix"):
            return dtype
        if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize < 4:
            unsigned = jnp.issubdtype(dtype, jnp.unsignedinteger)
            return np.dtype("uint32" if unsigned else "int32")
        return dtype

    def operation(self) -> Operation:
        """The reference, or `Refused`."""
        return _OPERATIONS.get(self.function, _conv)(self)


_USUAL = (("dtype", "float64"), ("engine", "numpy"))


def kernel_parts(shape: Ints, last: bool) -> tuple[int, int, Ints]:
    """Output channels, input channels per group, window."""
    if last:
        return shape[-1], shape[-2], tuple(shape[:-2])
    return shape[0], shape[1], tuple(shape[2:])


def image_parts(shape: Ints, ndim: int, last: bool) -> tuple[bool, int, int, Ints]:
    """Whether there is a batch, its size, channels, space."""
    batched = len(shape) == ndim + 2
    n, *rest = shape if batched else (1, *shape)
    channels = rest[-1] if last else rest[0]
    return batched, n, channels, tuple(rest[:-1] if last else rest[1:])


def _conv(call: Call) -> Operation:
    shapes, options, last = call.shapes, call.options, call.last
    o, c, k = kernel_parts(shapes[1], last)
    batched, n, channels, space = image_parts(shapes[0], len(k), last)
    transposed = call.function in TRANSPOSED
    groups = options.get("groups", 1)
    if call.function == "depthwise_conv":
        groups = channels
    if groups == 0 or 0 in k or o == 0 or o % groups:
        raise Refused("kernel")
    if channels != (o if transposed else c * groups):
        raise Refused("channels")
    if 0 in space and (transposed or 0 not in (n, channels)):
        raise Refused("empty space")
    if transposed and c == 0:
        raise Refused("no output channels")
    if call.function == "depthwise_conv" and c != 1:
        raise Refused("depthwise kernel")
    if call.function == "pointwise_conv" and set(k) != {1}:
        raise Refused("pointwise kernel")
    make = ref.transposed_window if transposed else ref.conv_window
    window = make(space, k, options)
    mode = options.get("padding_mode", "zeros")
    inner = ref.Conv(
        window, groups, mode, last=last, batched=batched, transposed=transposed
    )
    return _biased(call, inner, 2, len(k), c * groups if transposed else o)


def _biased(
    call: Call, inner: Operation, arrays: int, ndim: int, outputs: int
) -> Operation:
    if len(call.shapes) == arrays:
        return inner
    if call.shapes[arrays] != (outputs,):
        raise Refused("bias")
    return ref.Biased(inner, -1 if call.last else -ndim - 1)


def _separable(call: Call) -> Operation:
    x, depthwise, pointwise, *_ = call.shapes
    options = call.options
    layout = {"layout": options["layout"]} if "layout" in options else {}
    one = Call("depthwise_conv", (x, depthwise), options).operation()
    assert isinstance(one, ref.Conv)
    window, middle = one.how[0], kernel_parts(depthwise, call.last)[0]
    batched, n, _, _ = image_parts(x, len(window.kernel), call.last)
    body = (*window.output, middle) if call.last else (middle, *window.output)
    between = (n, *body) if batched else body
    two = Call("pointwise_conv", (between, pointwise), layout).operation()
    outputs, _, k = kernel_parts(pointwise, call.last)
    return _biased(call, ref.Separable(one, two), 3, len(k), outputs)


def _unfold(call: Call) -> Operation:
    size = call.options["kernel_size"]
    k = ref.per_axis(size, len(size) if isinstance(size, tuple | list) else 2)
    batched, _, channels, space = image_parts(call.shapes[0], len(k), call.last)
    if channels == 0 or 0 in space or min(k) < 1:
        raise Refused("empty")
    window = ref.conv_window(space, k, call.options)
    return ref.Unfold(window, last=call.last, batched=batched, back=False)


def _fold(call: Call) -> Operation:
    size = call.options["kernel_size"]
    k = ref.per_axis(size, len(size) if isinstance(size, tuple | list) else 2)
    space = ref.per_axis(call.options["output_size"], len(k))
    if min(space) < 1:
        raise Refused("empty")
    window = ref.conv_window(space, k, call.options)
    (u,) = call.shapes
    rows, length = (u[-1], u[-2]) if call.last else (u[-2], u[-1])
    if rows == 0 or rows % math.prod(k) or length != math.prod(window.output):
        raise Refused("columns")
    return ref.Unfold(window, last=call.last, batched=len(u) == 3, back=True)


def _matrix(call: Call) -> Operation:
    (kernel,) = call.shapes
    shape = call.options["input_shape"]
    inner = Call("conv", (shape, kernel), call.options).operation()
    assert isinstance(inner, ref.Conv)
    return ref.Matrix(inner, shape)


_OPERATIONS: dict[str, Any] = {
    "separable_conv": _separable,
    "unfold": _unfold,
    "fold": _fold,
    "conv_matrix": _matrix,
}
