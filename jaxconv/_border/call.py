"""Turns a user's call into one checked Spec; no array is computed here."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import (
    Any,
    Generic,
    NamedTuple,
    Required,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
)

import jax

from jaxconv._border import arguments as can
from jaxconv._border import hints, limits, symbolic
from jaxconv._border.arguments import Pairs
from jaxconv._border.implementation import admit
from jaxconv._border.windows import Windows
from jaxconv._core.contract import contract
from jaxconv._core.spec import Layout, Role, Shape, Spec
from jaxconv._core.surround import pad, unpad
from jaxconv._plan.names import lowerings

T = TypeVar("T", bound=Mapping[str, object])
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # to NumPy's


class Setup(NamedTuple):
    """What follows from the shapes and options of a call alone."""

    spec: Spec
    shape: Shape  # of the image, with its batch axis
    outputs: int  # channels of the result
    has_batch: bool
    pads: Pairs  # filled by the padding mode before the contraction; empty for zeros
    mode: str

    @property
    def channels(self) -> tuple[int, int]:
        """The numbers of channels of the image and of the result."""
        return self.shape[self.spec.layout.channel], self.outputs

    def within_limits(self, name: str = "x.shape") -> Setup:
        """Returns the setup itself, or refuses it if an array would be too large."""
        spec = self.spec
        space = self.shape[spec.lead :][: spec.ndim]
        image = limits.Image(name, self.shape, space)
        limits.call(spec.role, spec.geometry, image, self.shape[0], self.channels)
        return self

    def pad(self, x: jax.Array) -> jax.Array:
        """Pads x by its padding mode; zeros are left to the contraction."""
        if not self.pads:
            return x
        return pad(x, MODES[self.mode], self.widths(x.ndim))

    def unpad(self, y: jax.Array) -> jax.Array:
        """The transpose of `pad`: adds each padded element to its source."""
        if not self.pads:
            return y
        return unpad(y, MODES[self.mode], self.widths(y.ndim))

    def widths(self, rank: int) -> Pairs:
        around = [(0, 0)] * rank
        lead = self.spec.lead
        around[lead : lead + self.spec.ndim] = self.pads
        return tuple(around)


class Call(NamedTuple):
    """A checked call: the operands, with their batch axis, and the setup."""

    image: jax.Array
    kernel: jax.Array
    bias: jax.Array | None
    setup: Setup
    symbolic: symbolic.Convolution | None = None  # for symbolic spatial sizes

    def contract(self, image: jax.Array) -> jax.Array:
        if self.symbolic is not None:
            return self.symbolic(image, self.kernel)
        return contract(image, self.kernel, self.setup.spec)

    def finish(self, y: jax.Array) -> jax.Array:
        """Adds the bias, and removes the batch axis if x came without one."""
        if self.bias is not None:
            shape = [1] * y.ndim
            shape[self.setup.spec.axis("output", "o")] = -1
            y = y + self.bias.astype(y.dtype).reshape(shape)
        return y if self.setup.has_batch else y[0]


class Given(TypedDict, total=False):
    """The options of a call by name, with the values that users give."""

    stride: Required[object]
    padding: Required[Any]
    dilation: Required[object]
    groups: Required[object]
    layout: Required[object]
    padding_mode: object
    implementation: object
    precision: object
    preferred_element_type: object
    output_padding: object
    output_size: object
    name: str


def read_call(
    role: Role, x: Any, kernel: Any, bias: Any, **options: Unpack[Given]
) -> Call:
    """Checks operands and options; ``role`` is "output" or "input"."""
    x, kernel = can.array("x", x), can.array("kernel", kernel)
    bias = None if bias is None else can.array("bias", bias)
    can.same_dtype(x=x, kernel=kernel, bias=bias)
    ndim = len(kernel.shape) - 2
    shape = symbolic.with_numbers(x.shape, ndim, options["layout"])
    if shape is x.shape:
        setup, special = _setup(role, shape, kernel.shape, x.dtype, options), None
    else:
        symbolic.refuse(x.shape, options)
        setup = read_setup(role, shape, kernel.shape, x.dtype, **options)
        special = symbolic.Convolution(setup.spec, options["padding"])
    can.bias_shape(bias, setup.outputs)
    return Call(x if setup.has_batch else x[None], kernel, bias, setup, special)


class Options(Generic[T]):
    """Options as a cache key, which includes their types because True == 1 == 1.0."""

    __slots__ = ("key", "values")

    def __init__(self, values: T):
        self.values = values
        # preferred_element_type may have 64 bits only with jax_enable_x64.
        wide = cast(Any, jax.config).jax_enable_x64
        self.key = (wide, *map(_typed, values.values()))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self.key == other.key


def _typed(value: Any) -> Any:
    if type(value) in (tuple, list):
        return (type(value), *map(_typed, value))
    return type(value), value


def _setup(role: Role, x: Shape, kernel: Shape, dtype: Any, options: Given) -> Setup:
    """`read_setup` with a cache: outside jit it takes as long as a small convolution.

    If the call is refused and would fit with image and kernel exchanged, the error asks
    whether they are.
    """
    try:
        return _remembered(role, x, kernel, dtype, Options(options))
    except ValueError as error:
        if _fits(role, kernel, x, dtype, options):
            raise hints.exchanged(error) from None
        raise
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return read_setup(role, x, kernel, dtype, **options).within_limits()


def _fits(role: Role, x: Shape, kernel: Shape, dtype: Any, options: Given) -> bool:
    """Whether image and kernel of these shapes, of equal rank, would be accepted."""
    try:
        read_setup(role, x, kernel, dtype, **options).within_limits()
    except (ValueError, TypeError):
        return False
    return len(x) == len(kernel)


@functools.lru_cache(maxsize=4096)
def _remembered(
    role: Role, x: Shape, kernel: Shape, dtype: Any, options: Options[Given]
) -> Setup:
    return read_setup(role, x, kernel, dtype, **options.values).within_limits()


def read_setup(
    role: Role,
    x_shape: Shape,
    kernel_shape: Shape,
    dtype: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    layout: Any,
    padding_mode: Any = "zeros",
    implementation: Any = None,
    precision: Any = None,
    preferred_element_type: Any = None,
    output_padding: Any = 0,
    output_size: Any = None,
    name: str = "x.shape",
) -> Setup:
    """Checks shapes and options, and computes the geometry.

    ``name`` is the name of the image's shape in error messages.
    """
    ndim, arranged = can.spatial_rank(kernel_shape), can.layout(layout)
    has_batch = can.has_batch(x_shape, ndim, name)
    shape = x_shape if has_batch else (1, *x_shape)
    groups = can.integer("groups", groups, 1)
    window, space = arranged.window(kernel_shape), arranged.space(shape)
    channels = shape[arranged.channel]
    can.known(name, x_shape, space)
    can.known("kernel.shape", kernel_shape, window)
    can.window_not_empty(window, kernel_shape)
    rest = (shape[0], channels) if role == "output" else ()
    can.space_not_empty(space, rest, (name, x_shape))
    outputs, wanted, why = _channels(role, kernel_shape, groups, arranged)
    if channels != wanted:
        rule = f"has {channels} channels in layout={layout!r}, but {why}"
        remedy = f"Give it {wanted} channels, or check layout= and groups="
        can.fail(name, x_shape, f"{rule} (kernel.shape={kernel_shape})", remedy)
    windows = Windows.read(ndim, stride, padding, dilation, padding_mode)
    if role == "output":
        geometry, pads = windows.conv(space, window)
    else:
        geometry, pads = windows.transpose(space, window, output_padding, output_size)
    result = can.result_dtype(dtype, preferred_element_type)
    spec = Spec(role, geometry, groups, arranged, result, can.precision(precision))
    if not isinstance(implementation, str | None):  # it may not even be hashable
        can.choice("implementation", implementation, lowerings(role))
    spec = admit(implementation, spec, shape, kernel_shape, dtype)
    return Setup(spec, shape, outputs, has_batch, pads, windows.mode)


def _channels(
    role: Role, kernel: Shape, groups: int, layout: Layout
) -> tuple[int, int, str]:
    """The result's channels, the channels that x must have, and the reason.

    In conv, x has groups*C channels; in conv_transpose, x has the kernel's O channels.
    """
    o, c = layout.kernel_channels(kernel)
    side = "output" if role == "output" else "input"
    can.groups_divide(side, o, groups, kernel)
    outputs, wanted = (o, c * groups) if role == "output" else (c * groups, o)
    if outputs == 0:
        rule = "gives no output channels"
        can.fail("kernel.shape", kernel, rule, "Give at least one per group")
    if role == "output":
        return outputs, wanted, f"the kernel expects {c} per group in {groups} group(s)"
    why = f"conv_transpose takes as many as the kernel has output channels, {o}"
    return outputs, wanted, why
