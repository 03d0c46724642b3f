"""Causal convolutions of an endless signal, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxconv._border import arguments as can
from jaxconv._border import limits
from jaxconv._border.arrays import Bias, Kernel, Outputs, Signal
from jaxconv._border.hints import explained
from jaxconv._core.geometry import Ints, span
from jaxconv._core.spec import Layout
from jaxconv._ops.conv import conv
from jaxconv._ops.stream_sizes import Reach, StreamSizes, sizes
from jaxconv._ops.transpose import conv_transpose


@dataclass(frozen=True)
class Stream:
    r"""One causal convolution of an endless signal; `jaxconv.stream` makes it.

    It contains only sizes and options, and is hashable.  Every step takes the kernel
    and a state, an array with the last ``history`` inputs, which is zero at first.

    Attributes:
      transposed: whether it is `conv_transpose` instead of `conv`.
      kernel_shape, stride, dilation, groups, layout: as in `conv`.
      low: number of zeros in front of the whole signal, for `conv`.
      implementation, precision: as in `conv`.
    """

    transposed: bool
    kernel_shape: Ints
    stride: int
    dilation: int
    groups: int
    layout: Layout
    low: int
    implementation: str | None = None
    precision: Any = None

    @property
    def history(self) -> int:
        """The number of past inputs that later outputs may still read."""
        return (self._span - 1) // self.stride if self.transposed else self.low

    @property
    def sizes(self) -> StreamSizes:
        """Block, rate, latency and receptive field; for several see `stream_sizes`."""
        return sizes([self.reach])

    @property
    def reach(self) -> Reach:
        """Which inputs each output reads."""
        return Reach(self.transposed, self.stride, self._span, self.low)

    @property
    def _first(self) -> bool:
        return self.layout.first

    @property
    def _span(self) -> int:
        return span(self.kernel_shape[2 if self._first else 0], self.dilation)

    @property
    def _channels(self) -> int:
        """The channels of the input signal."""
        o, c = self.kernel_shape[:2] if self._first else self.kernel_shape[:0:-1]
        return o if self.transposed else c * self.groups

    def init(self, batch: int | None, dtype: DTypeLike = np.float32) -> Outputs:
        r"""The state before the first block: zeros.

        Args:
          batch: the number of signals; None for one signal without a batch axis.
          dtype: the signal's type.

        Returns:
          (batch, C, history), channels last (batch, history, C).
        """
        lead = () if batch is None else (can.integer("batch", batch, 0),)
        size = (self._channels, self.history)
        kind = can.as_dtype("dtype", dtype)
        limits.array("batch", batch, (*lead, *size))
        return jnp.zeros((*lead, *(size if self._first else size[::-1])), kind)

    def step(
        self,
        state: Signal,
        x: Signal,
        kernel: Kernel,
        bias: Bias | None = None,
    ) -> tuple[Outputs, Outputs]:
        r"""Takes the next block of the signal; returns the new state and the outputs.

        Args:
          state: the state of `init` or of the previous step.
          x: the block, (N, C, T) or (C, T), channels last (N, T, C); T is any multiple
            of the stride of a convolution, and any number of a transposed one.
          kernel, bias: as in `conv` or `conv_transpose`.

        Returns:
          The new state, and (N, O, T/stride) or, transposed, (N, C, T*stride).
        """
        state, x = can.array("state", state), can.array("x", x)
        kernel = can.array("kernel", kernel)
        self._check_block(x, kernel)
        self._check_state(state, x)
        axis = self._axis(x)
        both = jnp.concatenate([state, x], axis)
        size = both.shape[axis]
        last = jax.lax.slice_in_dim(both, size - self.history, size, axis=axis)
        return last, self._run(both, kernel, bias, state.shape[axis])

    def whole(self, x: Signal, kernel: Kernel, bias: Bias | None = None) -> Outputs:
        r"""Computes all outputs of a signal at once, equal to those of the steps.

        Args:
          x: the signal from its beginning, as in `step`.
          kernel, bias: as in `step`.

        Returns:
          The outputs of all blocks.
        """
        x, kernel = can.array("x", x), can.array("kernel", kernel)
        self._check_block(x, kernel)
        return self._run(x, kernel, bias, None)

    def _run(
        self, x: jax.Array, kernel: Kernel, bias: Any, before: int | None
    ) -> jax.Array:
        """The outputs of the inputs after the first ``before``, which are history.

        None means that the signal begins, so that there are zeros in front of it.
        """
        options: dict[str, Any] = {
            "stride": self.stride,
            "dilation": self.dilation,
            "groups": self.groups,
            "layout": self.layout,
            "implementation": self.implementation,
            "precision": self.precision,
        }
        if not self.transposed:
            low = self.low if before is None else 0
            return conv(x, kernel, bias, padding=((low, 0),), **options)
        beyond = self._span - self.stride  # outputs of later blocks, which are cropped
        return conv_transpose(
            *(x, kernel, bias),
            padding=(((before or 0) * self.stride, max(0, beyond)),),
            output_padding=max(0, -beyond),
            **options,
        )

    def _axis(self, x: jax.Array) -> int:
        return x.ndim - 1 if self._first else x.ndim - 2

    def _check_block(self, x: jax.Array, kernel: jax.Array) -> None:
        if kernel.shape != self.kernel_shape:
            rule = f"must be {self.kernel_shape}, for which the stream was made"
            can.fail("kernel.shape", kernel.shape, rule, "Make a stream of this shape")
        can.has_batch(x.shape, 1)
        axis, channel = (-1, -2) if self._first else (-2, -1)
        if x.shape[channel] != self._channels:
            rule = (
                f"has {x.shape[channel]} channels in layout={self.layout!r}, but the "
            )
            rule += f"stream has {self._channels}"
            can.fail("x.shape", x.shape, rule, "Check layout= and groups=")
        block = 1 if self.transposed else self.stride
        if x.shape[axis] == 0 or x.shape[axis] % block:
            rule = f"has {x.shape[axis]} elements of time, but a block has {block} or "
            rule += "a multiple"
            can.fail("x.shape", x.shape, rule, "Collect as many before a step")

    def _check_state(self, state: jax.Array, x: jax.Array) -> None:
        can.same_dtype(x=x, state=state)
        wanted = list(x.shape)
        wanted[self._axis(x)] = self.history
        if list(state.shape) != wanted:
            rule = (
                f"must be {tuple(wanted)}: that of x, with a history of {self.history}"
            )
            can.fail("state.shape", state.shape, rule, "Give that of init or of a step")

    def __post_init__(self) -> None:
        """Checks that the fields fit together; `stream` has checked each alone."""
        long = "dilation" if self.dilation > 1 else "kernel_shape"
        limits.indexed(long, getattr(self, long), "inputs to remember", self._span)
        least, most = max(0, self._span - self.stride), self._span - 1
        if not self.transposed and not least <= self.low <= most:
            rule = f"must be from {least} to {most}, so that a block of {self.stride} "
            rule += "inputs has one output"
            can.fail("padding", self.low, rule, 'Write padding="causal"')


@explained
def stream(
    operation: Callable[..., jax.Array],
    kernel_shape: Sequence[int],
    *,
    stride: int = 1,
    padding: str | int = "causal",
    dilation: int = 1,
    groups: int = 1,
    layout: str = "channels_first",
    implementation: str | None = None,
    precision: Any = None,
) -> Stream:
    r"""A causal convolution or transposed convolution that takes its signal in blocks.

    .. math::
        y[n, g, o, p] = \sum_{c, t} w[g, o, c, t] \;
            x[n, g, c, p \cdot s + t \cdot d - \mathit{lo}], \qquad \mathit{lo} = d(k-1)

    and for a transposed one, in which every input adds to its own and later outputs,

    .. math::
        z[n, g, c, q] = \sum_{o} \sum_{p, t \,:\, p s + t d = q}
            w[g, o, c, t] \; x[n, g, o, p], \qquad 0 \le q < s \cdot T

    for all T inputs so far.  The blocks have the values of the whole signal's outputs,
    up to rounding; a named ``implementation`` makes both use the same lowering.

    Letters: as in `conv`; T inputs along the one spatial axis, time.

    Args:
      operation: `jaxconv.conv` or `jaxconv.conv_transpose`.
      kernel_shape: (O, C/groups, k); channels last (k, C/groups, O).
      stride, dilation, groups, layout, implementation, precision: as in the operation.
      padding: "causal" puts d(k-1) zeros in front of the whole signal, so that output p
        reads inputs up to p*s.  An int, at least d(k-1) + 1 - s, puts fewer zeros
        there: output p then also reads later inputs of its own block, up to p*s + s-1.
        A transposed convolution takes only "causal".

    Returns:
      A `Stream`.  ``init(batch, dtype)`` is the first state, ``step(state, x, kernel,
      bias)`` returns the next state and a block of outputs, ``whole(x, kernel, bias)``
      all outputs at once; ``sizes`` has block, rate, latency and receptive field.

    Raises:
      ValueError: sizes or options that do not fit.
      TypeError: an operation that is none of the two, arguments of the wrong type.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> up = jaxconv.stream(jaxconv.conv_transpose, (1, 1, 3), stride=2)
      >>> kernel, state = jnp.array([[[1.0, 1.0, 1.0]]]), up.init(None)
      >>> state, y = up.step(state, jnp.array([[1.0, 2.0]]), kernel)
      >>> y  # the last input also adds to the next block
      Array([[1., 1., 3., 2.]], dtype=float32)
      >>> up.step(state, jnp.array([[3.0]]), kernel)[1]
      Array([[5., 3.]], dtype=float32)

    Elsewhere: models write their own buffers, such as EnCodec and Mamba, and for
    convolutions only.

    Source: the definition of `conv` and `conv_transpose`.
    """
    if operation not in (conv, conv_transpose):
        rule = "is neither jaxconv.conv nor jaxconv.conv_transpose"
        can.fail("operation", operation, rule, "Write one of the two", TypeError)
    shape, arranged = can.shape("kernel_shape", kernel_shape), can.layout(layout)
    if len(shape) != 3 or 0 in shape:
        rule = "is not that of a kernel with one axis of time, (O, C/groups, k)"
        can.fail("kernel_shape", shape, rule, "Give three sizes of at least 1")
    transposed = operation is conv_transpose
    step, rate = can.integer("stride", stride, 1), can.integer("dilation", dilation, 1)
    window = shape[2] if arranged.first else shape[0]
    low = 0 if transposed else span(window, rate) - 1
    if padding != "causal":
        if transposed or isinstance(padding, str):
            rule = "is not causal"
            can.fail("padding", padding, rule, 'Write padding="causal"')
        low = can.integer("padding", padding, 0)
    outputs = shape[0] if arranged.first else shape[-1]
    groups = can.integer("groups", groups, 1)
    can.groups_divide("output", outputs, groups, shape)
    options = (groups, arranged, low, implementation, can.precision(precision))
    return Stream(transposed, shape, step, rate, *options)


@explained
def stream_sizes(streams: Sequence[Stream]) -> StreamSizes:
    r"""The numbers of inputs and outputs of several streams in sequence.

    .. math::
        \mathrm{rate} = \prod_i \mathrm{rate}_i, \qquad
        \mathrm{block} = \min \{\, n : n \prod_{j \le i} \mathrm{rate}_j
            \text{ is whole for every } i \,\}

    Args:
      streams: in the order in which the signal passes through them.

    Returns:
      A `StreamSizes`.

    Raises:
      TypeError: anything but a sequence of streams.

    Example:
      >>> import jaxconv
      >>> down = jaxconv.stream(jaxconv.conv, (1, 1, 8), stride=4)
      >>> up = jaxconv.stream(jaxconv.conv_transpose, (1, 1, 8), stride=4)
      >>> jaxconv.stream_sizes([down, up])
      StreamSizes(block=4, rate=Fraction(1, 1), latency=0, receptive_field=12)

    Elsewhere: no counterpart; `receptive_field` is for convolutions only.

    Source: the definition in `stream`.
    """
    found: Any = streams
    if not can.is_sequence(found) or not all(isinstance(v, Stream) for v in found):
        rule = "is not a sequence of streams"
        can.fail("streams", found, rule, "Write [jaxconv.stream(...), ...]", TypeError)
    return sizes([v.reach for v in streams])
