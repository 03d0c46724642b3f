"""The messages, one of each rule: what is named and came, the rule, what to write.

That every public function refuses every wrong argument, and names it, is what
`test_invalid_calls` looks at.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from cases import random

RNG = np.random.default_rng(3)


def draw(*shape: int) -> jax.Array:
    return jnp.asarray(random(RNG, shape, np.float32))


LINE, PLANE = draw(2, 3, 7), draw(2, 3, 7, 6)
KERNEL, WINDOW = draw(4, 3, 2), draw(4, 3, 2, 5)  # of conv
COLUMNS = draw(2, 12, 30)  # of PLANE, windows of 2 x 2
line = partial(jaxconv.conv, LINE, KERNEL)
plane = partial(jaxconv.conv, PLANE, WINDOW)
turned = partial(jaxconv.conv_transpose, LINE)  # the kernel is still to come
TURNED = draw(3, 4, 2)
LAX = jaxconv.conv_general_dilated
HUGE, WIDE, ONE = 2**40, draw(1, 1, 4, 4), draw(1, 1, 1)
NOWHERE = np.zeros((1, 1, 4), np.float32)
Calls = dict[str, Callable[[], Any]]

# By the whole message; three dots stand for a list of what there is.
WORDS_AND_INTS: Calls = {
    "padding_mode='wrap': is not one of the known words. Write one of 'zeros', "
    "'reflect', 'replicate', 'circular'.": lambda: line(padding_mode="wrap"),
    "layout=3: is not one of the known words. Write one of 'channels_first', "
    "'channels_last'.": lambda: line(layout=3),
    "padding='half': is not one of the known words. Write one of 'valid', 'same', "
    "'VALID', 'SAME', 'SAME_LOWER', 'causal'.": lambda: line(padding="half"),
    "role='forward': is not one of the known words. Write one of 'output', 'input', "
    "'kernel'.": lambda: inspect.unwrap(jaxconv.lowerings)("forward"),
    "stride=True: is a bool. Write an int.": lambda: line(stride=True),
    "dilation=1.5: is not an int. Write an int.": lambda: line(dilation=1.5),
    "padding=None: is not an int. Write an int.": lambda: line(padding=None),
    "layers[0]['padding']='same': is not an int. Write an int.": lambda: (
        jaxconv.receptive_field([{"kernel": 3, "padding": "same"}])
    ),
    "dilation=0: must be at least 1. Write an int >= 1.": lambda: line(dilation=0),
    "padding=[(1, -2)]: -2 must be at least 0. Write an int >= 0.": lambda: line(
        padding=[(1, -2)]
    ),
    "stride=(1, 2): has length 2, but there is 1 spatial axis. Write an int for all "
    "axes or a tuple of 1.": lambda: line(stride=(1, 2)),
    "padding=[(1, 2)]: has length 1, but there are 2 spatial axes. Write an int for "
    "all axes or a tuple of 2, or 2 (low, high) pairs.": lambda: plane(
        padding=[(1, 2)]
    ),
    'precision=\'best\': is not a precision. Write "default", "high", "highest" '
    "or a jax.lax.Precision.": lambda: line(precision="best"),
    "precision=('high',): is not a pair. Write one precision, or two.": lambda: line(
        precision=("high",)
    ),
    "precision=[['high'], 'high']: is nested. Write one precision, or two.": lambda: (
        line(precision=[["high"], "high"])
    ),
}
PADDING: Calls = {
    "padding=[(1, 2), 3]: mixes forms: 3 is not a (low, high) pair. Write a pair for "
    "every axis, or an int for every axis.": lambda: plane(padding=[(1, 2), 3]),
    "padding='causal': is for one spatial axis (time), and there are 2. Write a "
    "(low, high) pair for every axis.": lambda: plane(padding="causal"),
    "padding='same': keeps the size only at stride 1, and stride=(2,). Write \"SAME\" "
    "for ceil(input/stride) outputs.": lambda: line(padding="same", stride=2),
    "padding=(7, 7): padding_mode=\"reflect\" can fill at most 6 on spatial axis 0, "
    "whose size is 7. Pad less, or use padding_mode=\"zeros\" or \"replicate\".":
    lambda: line(padding=7, padding_mode="reflect"),
    "padding=(8, 8): padding_mode=\"circular\" can fill at most 7 on spatial axis 0, "
    "whose size is 7. Pad less, or use padding_mode=\"zeros\" or \"replicate\".":
    lambda: line(padding=8, padding_mode="circular"),
}  # fmt: skip
ARRAYS: Calls = {
    "x is a list, not an array. Write jax.numpy.asarray(x).": lambda: jaxconv.conv(
        [[1.0, 2.0]], KERNEL
    ),
    "x is an array of bool, not of numbers. Convert it, for example "
    "x.astype(jax.numpy.float32).": lambda: jaxconv.conv(LINE > 0, KERNEL),
    "x is float32 and bias is int32: operands must agree. Convert one, for example "
    "bias.astype(x.dtype).": lambda: line(jnp.arange(4, dtype=np.int32)),
    "dtype='x': is not a dtype. Write e.g. jax.numpy.float32.": lambda: jaxconv.cost(
        (3, 7), (4, 3, 2), dtype="x"
    ),
    "preferred_element_type='float16': cannot hold sums of float32. Write a type of "
    "the same kind, as wide.": lambda: line(preferred_element_type=np.float16),
    "bias.shape=(1,): must have exactly shape (4,), one entry per output channel. Give "
    "it 4 entries, or the kernel as many outputs.": lambda: line(draw(1)),
    "kernel.shape=(4, 3): has 2 axes, but two are for channels, the others for space. "
    "Add the missing axes, ...": lambda: jaxconv.conv(LINE, draw(4, 3)),
    "x.shape=(7,): has 1 axes, but the kernel has 1 for space. Give 3 axes, or 2 "
    "without the batch axis: ...": lambda: jaxconv.conv(draw(7), KERNEL),
    "x_shape=(1, 3, 5, 5, 5): has 5 axes, but the kernel has 1 for space. Give 3 axes, "
    "or 2 without the batch axis; a kernel for 3 axes of space has 5 axes...": lambda: (
        jaxconv.cost((1, 3, 5, 5, 5), (4, 3, 2))
    ),
    "x.shape=(2, 3, 0): has a spatial axis of size zero; only batch and channels may "
    "be empty. Leave the call out for empty input.": lambda: jaxconv.conv(
        draw(2, 3, 0), KERNEL
    ),
    "kernel.shape=(4, 3, 0): the window (0,) has an axis of size zero. Give every axis "
    "at least one weight.": lambda: jaxconv.conv(LINE, draw(4, 3, 0)),
    "kernel.shape=(0, 3, 2): has no output channels. Give at least one per group.":
    lambda: jaxconv.conv(LINE, draw(0, 3, 2)),
    "groups=3: does not divide the kernel's 4 output channels. Choose groups that "
    "divide 4.": lambda: line(groups=3),
    "groups=2: does not divide the kernel's 3 input channels. Choose groups that "
    "divide 3.": lambda: turned(TURNED, groups=2),
    "kernel=(2,): spans 8 on spatial axis 0 (dilation 7), more than the padded input's "
    "7. Use a smaller kernel or dilation, or pad more.": lambda: line(dilation=7),
    "kernel_size=(5,): spans 5 on spatial axis 0 (dilation 1), more than the padded "
    "input's 3. ...": lambda: jaxconv.conv_output_size(3, 5),
    "kernel_size=(8, 8): spans 8 on spatial axis 0 (dilation 1), more than the padded "
    "input's 7. ...": lambda: jaxconv.unfold(PLANE, 8),
    "x.shape=(2, 3, 7): has 7 channels in layout='channels_last', but the kernel "
    "expects 3 per group in 1 group(s) (kernel.shape=(4, 3, 2)). Give it ...": lambda: (
        line(layout="channels_last")
    ),
}  # fmt: skip
TRANSPOSED: Calls = {
    "padding=4: leaves a result of size (0,), which must be at least 1 on every axis. "
    "Pad (that is, crop) less.": lambda: turned(TURNED, padding=4),
    "output_size=9: says the size that output_padding says too. Give only one of the "
    "two.": lambda: turned(TURNED, stride=2, output_padding=1, output_size=9),
    "padding='same': is not defined for a transposed convolution. Write \"SAME\" for a "
    "result of input*stride.": lambda: turned(TURNED, padding="same"),
    "output_padding=2: must be below stride 2 or dilation 1 on axis 0. Use less, or "
    "output_size=.": lambda: turned(TURNED, stride=2, output_padding=2),
    "output_padding=(1,): does not go with padding=\"SAME\", whose result is "
    "input*stride. Write output_size= instead.": lambda: turned(
        TURNED, output_padding=1, padding="SAME", stride=2
    ),
    "output_size=14: must be between (15,) and (16,), spatial axes only. Choose such a "
    "size, or leave it out.": lambda: turned(
        TURNED, stride=2, dilation=2, output_size=14
    ),
    "output_size=9: must be (8,), spatial axes only. Choose such a size, or leave it "
    "out.": lambda: turned(TURNED, output_size=9),
    "kernel.shape=(3, 0, 2): gives no output channels. Give at least one per group.":
    lambda: turned(draw(3, 0, 2)),
    "x.shape=(2, 3, 7): has 3 channels in layout='channels_first', but "
    "conv_transpose takes as many as the kernel has output channels, 4 (kernel...":
    lambda: turned(draw(4, 2, 2)),
}  # fmt: skip
LARGE = jax.ShapeDtypeStruct((1, 3, 30_000), np.float32)
LOWERINGS: Calls = {
    "implementation=3: is not one of the known words. Write one of 'xla', ...": lambda:
    line(implementation=3),
    "implementation='scatter': does not compute the role 'output'. Write one of 'xla', "
    "...": lambda: line(implementation="scatter"),
    "implementation='matrix': cannot run this: its dense matrix takes 40.2 GiB, over 2 "
    "GiB. Leave implementation out to have one chosen.": lambda: jax.eval_shape(
        lambda x: jaxconv.conv(x, KERNEL, implementation="matrix"), LARGE
    ),
}  # fmt: skip
PATCHES: Calls = {
    "kernel_size=(): is empty. Write one int per spatial axis.": lambda: jaxconv.unfold(
        PLANE, ()
    ),
    "x.shape=(2, 0, 7, 6): has a channel or spatial axis of size zero; only the batch "
    "may be empty. Leave the call out for empty input.": lambda: jaxconv.unfold(
        draw(2, 0, 7, 6), 2
    ),
    "u.shape=(3,): has 1 axes, but windows side by side have 3, or 2 without a batch. "
    "Give (N, C*T, L), channels last (N, L, T*C).": lambda: jaxconv.fold(
        draw(3), (7, 6), 2
    ),
    "u.shape=(2, 12, 29): has 29 windows, but output_size=(7, 6) has (6, 5), that is "
    "30. Check output_size, stride and padding.": lambda: jaxconv.fold(
        COLUMNS[..., :29], (7, 6), 2
    ),
    "u.shape=(2, 11, 30): has 11 values per window, not a multiple of the window's 4 "
    "taps. Check kernel_size and layout.": lambda: jaxconv.fold(
        COLUMNS[:, :11], (7, 6), 2
    ),
    "u.shape=(2, 0, 12): has no channels. Give at least one.": lambda: jaxconv.fold(
        draw(2, 0, 12), (4, 5), 2
    ),
    "kernel.shape=(4, 3, 2): has 3 input channels, but a depthwise kernel has 1. Write "
    "(C*m, 1, *window), channels last (*window, 1, C*m).": lambda: (
        jaxconv.depthwise_conv(LINE, KERNEL)
    ),
    "kernel.shape=(4, 1, 2): has 4 kernels, not a multiple of the 3 channels of x. "
    "Write (C*m, 1, *window), channels last (*window, 1, C*m).": lambda: (
        jaxconv.depthwise_conv(LINE, draw(4, 1, 2))
    ),
    "kernel.shape=(4, 3, 2): has the window (2,), and a pointwise kernel has 1 on "
    "every axis. Use conv for larger windows.": lambda: jaxconv.pointwise_conv(
        LINE, KERNEL
    ),
}  # fmt: skip
ARITHMETIC: Calls = {
    "input_shape=7: is not a shape. Write a tuple of ints.": lambda: (
        jaxconv.conv_matrix(KERNEL, 7)
    ),
    "input_shape=(2, 3, 7): has 3 axes, but the kernel has 1 for space. Give channels "
    "and space, without a batch.": lambda: jaxconv.conv_matrix(KERNEL, (2, 3, 7)),
    "layers=3: is not a sequence of layers. Write [dict(kernel=3), ...].": lambda: (
        jaxconv.receptive_field(3)
    ),
    "layers[0]=3: is not a mapping. Write dict(kernel=3, stride=2).": lambda: (
        jaxconv.receptive_field([3])
    ),
    "layers[1]={'kernel': 3, 'size': 2}: has unknown keys ['size']. Write keys out of "
    "('kernel', 'stride', 'dilation', 'padding').": lambda: jaxconv.receptive_field(
        [{"kernel": 3}, {"kernel": 3, "size": 2}]
    ),
    "layers[0]={'stride': 3}: has no kernel. Write keys out of ('kernel', 'stride', "
    "'dilation', 'padding').": lambda: jaxconv.receptive_field([{"stride": 3}]),
    "output_padding=1: belongs to a transposed convolution. Leave it out, or write "
    "transposed=True.": lambda: jaxconv.cost((1, 3, 5), (4, 3, 2), output_padding=1),
    "input_size=(5, 6): and kernel_size=(1, 2, 3) do not have the same number of axes. "
    "Give both one int per spatial axis.": lambda: jaxconv.conv_output_size(
        (5, 6), (1, 2, 3)
    ),
    "padding=9: leaves a result of size (-11,), which must be at least 1 on every "
    "axis. ...": lambda: jaxconv.conv_transpose_output_size(3, 5, padding=9),
}
# Of these every function that makes sizes has its own.
SIZES: Calls = {
    "padding=(9223372036854775803, 9223372036854775803): makes "
    "18,446,744,073,709,551,613 elements along spatial axis 0, where at most "
    "2,147,483,647 are possible. ...": lambda: line(padding=2**63 - 5),
    "stride=1099511627776: is 1,099,511,627,776 on spatial axis 0, and a step is at "
    "most 2,147,483,647. Use a smaller step.": lambda: turned(TURNED, stride=HUGE),
    "padding=(1000000, 1000000): makes an array of 1 x 1 x 2,000,004 x 2,000,004 x "
    "2,000,004 = 8,000,048,000,096,000,064 elements, and at most 1,099,511,627,776 "
    "(2**40) are made. ...": lambda: jaxconv.conv(
        draw(1, 1, 4, 4, 4), draw(1, 1, 3, 3, 3), padding=10**6
    ),
    "stride=1180591620717411303424: ...": lambda: jaxconv.conv(
        LINE, draw(4, 3, 7), stride=2**70
    ),
    "dilation=1180591620717411303424: ...": lambda: jaxconv.conv(
        LINE, draw(4, 3, 1), dilation=2**70
    ),
    "dilation=1099511627776: ...": lambda: line(padding="causal", dilation=HUGE),
    "padding=(2199023255552, 0): ...": lambda: line(
        padding=HUGE, padding_mode="replicate"
    ),
    "stride=900000000: makes 5,400,000,002 elements along ...": lambda: turned(
        TURNED, stride=9 * 10**8
    ),
    "kernel_size=(3, 3): makes an array of ...": lambda: jaxconv.unfold(
        WIDE, 3, padding=2**20
    ),
    "output_size=(1048576, 2097152): makes an array of ...": lambda: jaxconv.fold(
        draw(1, 1), (2**20, 2**21), (1, 1), stride=2**29
    ),
    "input_shape=(1, 1073741824): makes 3,221,225,466 entries of the matrix, and at "
    "most 2,147,483,647 can be numbered. Use less, or smaller arrays.": lambda: (
        jaxconv.conv_matrix(draw(1, 1, 3), (1, 2**30), sparse=True)
    ),
    "input_shape=(1, 4194304): makes an array of ...": lambda: jaxconv.conv_matrix(
        draw(1, 1, 3), (1, 2**22)
    ),
    "stride=4611686018427387904: ...": lambda: jaxconv.deform_conv(
        ONE, NOWHERE[..., :1], ONE, stride=2**62, padding=2**61
    ),
    "stride=1073741824: makes 3,221,225,473 elements ...": lambda: (
        jaxconv.deform_conv_transpose(draw(1, 1, 4), NOWHERE, ONE, stride=2**30)
    ),
    "dilation=4611686018427387904: ...": lambda: jaxconv.deform_aggregate(
        draw(1, 1, 4), NOWHERE, NOWHERE, (1,), dilation=2**62
    ),
    "dilation=1099511627776: makes 2,199,023,255,553 inputs to remember, ...": lambda: (
        jaxconv.stream(jaxconv.conv, (4, 3, 3), dilation=HUGE)
    ),
    "batch=1099511627776: makes an array of ...": lambda: jaxconv.stream(
        jaxconv.conv, (4, 3, 3)
    ).init(HUGE),
    "lhs_dilation=(1099511627776,): makes 3,298,534,883,329 elements along ...": lambda:
    LAX(draw(1, 1, 4), ONE, (1,), [(0, 0)], lhs_dilation=(HUGE,)),
}  # fmt: skip
KINDS = (
    WORDS_AND_INTS,
    PADDING,
    ARRAYS,
    TRANSPOSED,
    LOWERINGS,
    PATCHES,
    ARITHMETIC,
    SIZES,
)
MESSAGES = {said: call for calls in KINDS for said, call in calls.items()}


# What makes it a TypeError.
OF_TYPES = (
    *("=3: is not one of the known words", "is a bool", "is not an int", "is a list"),
    *("not of numbers", "operands must agree", "is not a dtype", "cannot hold sums"),
    *("is not a shape", "is not a sequence", "is not a mapping"),
)


def test_messages() -> None:
    """All in one test: each takes no time."""
    wrong = [text for said, call in MESSAGES.items() if (text := fault(said, call))]
    assert not wrong, "\n".join(wrong)


def fault(said: str, call: Callable[[], Any]) -> str:
    try:
        call()
    except (ValueError, TypeError) as error:
        text, wanted = str(error), ".*".join(map(re.escape, said.split("...")))
        shape = r"\S.*[^.]\. [A-Z].*\."  # rule, then remedy
        kind = TypeError if any(words in text for words in OF_TYPES) else ValueError
        right = re.fullmatch(wanted, text) and re.fullmatch(shape, text)
        if right and len(text) < 400 and type(error) is kind:
            return ""
        return f"{type(error).__name__}: {text}\n  and not {kind.__name__}: {said}"
    return f"accepted, without {said}"


def test_sizes_are_refused_while_tracing_and_what_is_there_is_not() -> None:
    many = jax.ShapeDtypeStruct((2**10, 3, 2**21), np.float32)
    call = jax.eval_shape(lambda x: jaxconv.conv(x, KERNEL, stride=2**20), many)
    assert call.shape == (2**10, 4, 2)
    with pytest.raises(ValueError, match=r"padding=\(536870912, .*2\*\*40"):
        jax.eval_shape(lambda x: jaxconv.conv(x, KERNEL, padding=2**29), many)


def test_arithmetic_takes_any_size() -> None:
    size = jaxconv.conv_output_size(10**30, 3, stride=2, padding=2**70)
    assert size == (10**30 + 2**71 - 3) // 2 + 1
    work = jaxconv.cost((1, 1, 10), (1, 1, 2**98), padding=2**99)
    assert work.multiply_adds_valid == 10 * 2**98


def test_a_traced_size_is_refused() -> None:
    call = jax.jit(lambda stride: line(stride=stride))
    with pytest.raises(TypeError, match=r"stride=.*traced.*Write an int"):
        call(2)


def test_a_wide_result_needs_wide_types_switched_on() -> None:
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        line(preferred_element_type=np.float64)


@pytest.mark.parametrize(
    "two", [2, np.int8(2), np.uint64(2), np.array(2), jnp.int32(2)], ids=repr
)
def test_any_whole_number_is_an_int(two: Any) -> None:
    y = line(stride=two, padding=(two,), dilation=[two])
    np.testing.assert_array_equal(y, line(stride=2, padding=2, dilation=2))
