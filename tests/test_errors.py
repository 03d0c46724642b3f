"""Every message: it names the argument and what came, the rule, and what to write."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from cases import random

RNG = np.random.default_rng(3)


def draw(*shape: int, dtype: Any = np.float32) -> jax.Array:
    return jnp.asarray(random(RNG, shape, np.float32)).astype(dtype)


LINE, PLANE = draw(2, 3, 7), draw(2, 3, 7, 6)
KERNEL, WINDOW = draw(4, 3, 2), draw(4, 3, 2, 5)  # of conv
TURNED = draw(3, 4, 2)  # of conv_transpose
COLUMNS = draw(2, 12, 30)  # of PLANE, windows of 2 x 2


class Mistake(NamedTuple):
    """A call, and what its message must contain, in this order."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    error: type[Exception]
    parts: tuple[str, ...]


def value(call: Any, *arguments: Any, says: tuple[str, ...], **options: Any) -> Mistake:
    return Mistake(call, arguments, options, ValueError, says)


def kind(call: Any, *arguments: Any, says: tuple[str, ...], **options: Any) -> Mistake:
    return Mistake(call, arguments, options, TypeError, says)


def conv(*says: str, x: Any = LINE, kernel: Any = KERNEL, **options: Any) -> Mistake:
    return value(jaxconv.conv, x, kernel, says=says, **options)


def conv_kind(
    *says: str, x: Any = LINE, kernel: Any = KERNEL, **options: Any
) -> Mistake:
    return kind(jaxconv.conv, x, kernel, says=says, **options)


def turned(*says: str, kernel: Any = TURNED, **options: Any) -> Mistake:
    return value(jaxconv.conv_transpose, LINE, kernel, says=says, **options)


WORDS_AND_INTS = {
    "mode": conv(
        "padding_mode='wrap'",
        "known words",
        "'zeros', 'reflect', 'replicate', 'circular'",
        padding_mode="wrap",
    ),
    "layout": conv(
        "layout='NCHW'", "'channels_first', 'channels_last'", layout="NCHW"
    ),
    "layout no word": conv_kind("layout=3", "Write one of", layout=3),
    "bool": conv_kind("stride=True", "bool", "Write an int", stride=True),
    "float": conv_kind("dilation=1.5", "not an int", "Write an int", dilation=1.5),
    "word for int": conv_kind("groups='2'", "not an int", "Write an int", groups="2"),
    "below one": conv("dilation=0", "at least 1", "an int >= 1", dilation=0),
    "below zero": conv("padding=-1", "at least 0", "an int >= 0", padding=-1),
    "too long": conv(
        "stride=(1, 2)", "length 2", "1 spatial axis", "int for all", stride=(1, 2)
    ),
    "too short": conv(
        "stride=[1]", "length 1", "2 spatial axes", "a tuple of 2",
        x=PLANE, kernel=WINDOW, stride=[1],
    ),
    "precision": conv(
        "precision='best'", "not a precision", "highest", precision="best"
    ),
    "precisions": conv("precision=('high',)", "not a pair", precision=("high",)),
}  # fmt: skip

PADDING = {
    "not a pair": conv(
        "padding=(1, 1)", "length 2", "1 spatial axis", "(low, high) pairs",
        padding=(1, 1)
    ),
    "one pair for two axes": conv(
        "padding=[(1, 2)]", "length 1", "2 spatial axes", "2 (low, high) pairs",
        x=PLANE, kernel=WINDOW, padding=[(1, 2)],
    ),
    "mixed": conv(
        "padding=[(1, 2), 3]", "3 is not a (low, high) pair",
        "Write a pair for every axis",
        x=PLANE, kernel=WINDOW, padding=[(1, 2), 3],
    ),
    "of three": conv(
        "padding=[(1, 2, 3)]", "(1, 2, 3) is not a (low, high) pair", "pair",
        padding=[(1, 2, 3)],
    ),
    "negative in a pair": conv("padding=", "-2", "at least 0", padding=[(1, -2)]),
    "word": conv(
        "padding='half'", "known words",
        "'valid', 'same', 'VALID', 'SAME', 'SAME_LOWER'",
        "'causal'", padding="half",
    ),
    "none": conv_kind("padding=None", "not an int", "Write an int", padding=None),
    "causal plane": conv(
        "padding='causal'", "one spatial axis", "there are 2", "pair for every axis",
        x=PLANE, kernel=WINDOW, padding="causal",
    ),
    "same with a stride": conv(
        "padding='same'", "stride 1", "stride=(2,)", 'Write "SAME"', padding="same",
        stride=2
    ),
    "reflect": conv(
        "padding=", "7", "reflect", "at most 6", "size is 7", "Pad less",
        padding=7, padding_mode="reflect",
    ),
    "circular": conv(
        "padding=", "8", "circular", "at most 7", "size is 7", "Pad less",
        padding=8, padding_mode="circular",
    ),
}  # fmt: skip

NARROW = {"x": LINE.astype(np.float16), "kernel": KERNEL.astype(np.float16)}
ARRAYS = {
    "list": conv_kind("x is a list, not an array", "asarray(x)", x=[[1.0, 2.0]]),
    "bools": conv_kind("x is an array of bool", "numbers", "x.astype", x=LINE > 0),
    "kernel type": conv_kind(
        "x is float32", "kernel is float16", "must agree", "kernel.astype(x.dtype)",
        kernel=NARROW["kernel"],
    ),
    "bias type": conv_kind(
        "x is float32", "bias is int32", "must agree", "bias.astype(x.dtype)",
        bias=jnp.arange(4, dtype=np.int32),
    ),
    "no type": conv_kind(
        "preferred_element_type='wide'", "not a dtype", "float32",
        preferred_element_type="wide",
    ),
    "narrower type": conv_kind(
        "preferred_element_type='float16'", "sums of float32", "same kind",
        preferred_element_type=np.float16,
    ),
    "type of another kind": conv_kind(
        "preferred_element_type='int32'", "sums of float16", "same kind",
        preferred_element_type=np.int32, **NARROW,
    ),
    "kernel of a matrix": conv(
        "kernel.shape=(4, 3)", "2 axes", "channels", "missing axes", kernel=draw(4, 3)
    ),
    "no channels in x": conv("x.shape=(7,)", "1 axes", "1 for space", "Give 3 axes",
    x=draw(7)),
    "bias shape": conv(
        "bias.shape=(1,)", "exactly shape (4,)", "4 entries", bias=draw(1)
    ),
    "empty space": conv(
        "x.shape=", "0", "size zero", "may be empty", x=draw(2, 3, 0)
    ),
    "empty kernel": conv(
        "kernel.shape=(4, 3, 0)", "the window (0,)", "axis of size zero",
        "at least one weight",
        kernel=draw(4, 3, 0),
    ),
    "groups": conv(
        "groups=3", "does not divide the kernel's 4 output channels", "divide 4",
        groups=3
    ),
    "kernel too large": conv(
        "kernel", "2", "spans 8", "axis 0", "dilation 7", "padded input's 7",
        "pad more",
        dilation=7,
    ),
    "channels": conv(
        "x.shape=(2, 3, 7)", "3 channels", "channels_first", "expects 2 per group",
        "kernel.shape=(4, 2, 2)", "2 channels", kernel=draw(4, 2, 2),
    ),
    "channels of the other layout": conv(
        "x.shape=(2, 3, 7)", "7 channels", "channels_last", "expects 3 per group",
        "layout=", layout="channels_last",
    ),
}  # fmt: skip

TRANSPOSED = {
    "result below one": turned(
        "padding=4", "size (0,)", "at least 1", "less", padding=4
    ),
    "size twice": turned(
        "output_size=9", "output_padding", "only one", output_padding=1, output_size=9,
        stride=2,
    ),
    "same": turned("padding='same'", "transposed", 'Write "SAME"', padding="same"),
    "output_padding": turned(
        "output_padding=2", "stride 2", "dilation 1", "axis 0", "output_size",
        output_padding=2, stride=2,
    ),
    "output_padding for a line": turned(
        "output_padding=(1, 1)", "length 2", "1 spatial axis", output_padding=(1, 1),
        stride=2
    ),
    "SAME": turned(
        "output_padding=", "1", 'padding="SAME"', "output_size=",
        output_padding=1, padding="SAME", stride=2,
    ),
    "size out of range": turned(
        "output_size=14", "(15,)", "(16,)", "spatial", "such a size", output_size=14,
        stride=2,
        dilation=2, kernel=draw(3, 4, 2),
    ),
    "no output channels": turned(
        "kernel.shape=(3, 0, 2)", "no output channels", "at least one", kernel=draw(3,
        0, 2)
    ),
    "groups": turned(
        "groups=2", "does not divide the kernel's 3 input channels", groups=2
    ),
    "channels": turned(
        "x.shape=(2, 3, 7)", "3 channels", "output channels, 4", "4 channels",
        kernel=draw(4, 2, 2),
    ),
}  # fmt: skip

LARGE = jax.ShapeDtypeStruct((1, 3, 30_000), np.float32)
LOWERINGS = {
    "role": value(
        inspect.unwrap(jaxconv.lowerings), "forward", says=("role='forward'",
        "'output', 'input', 'kernel'")
    ),
    "unknown": conv("implementation='fast'", "'xla'", "'window'",
    implementation="fast"),
    "other role": conv("implementation='scatter'", "'matrix'",
    implementation="scatter"),
    "no word": conv_kind("implementation=3", "Write one of", implementation=3),
    "refuses": value(
        lambda x: jax.eval_shape(
            lambda x: jaxconv.conv(x, KERNEL, implementation="matrix"), x
        ),
        LARGE,
        says=("implementation='matrix'", "dense matrix takes 40.2 GiB", "Leave"),
    ),
}  # fmt: skip

PATCHES = {
    "no axes": value(
        jaxconv.unfold, PLANE, (), says=("kernel_size=()", "empty", "per spatial axis")
    ),
    "x": value(
        jaxconv.unfold, draw(7, 6), 2, says=("x.shape=(7, 6)", "2 axes", "Give 4 axes")
    ),
    "window": value(
        jaxconv.unfold, PLANE, 8, says=("kernel", "8", "padded input's 7", "smaller")
    ),
    "zero window": value(
        jaxconv.unfold, PLANE, 0, says=("kernel_size=0", "at least 1", "an int >= 1")
    ),
    "empty": value(
        jaxconv.unfold, draw(2, 0, 7, 6), 2,
        says=("x.shape=(2, 0, 7, 6)", "only the batch may be empty"),
    ),
    "columns": value(
        jaxconv.fold, draw(3), (7, 6), 2,
        says=("u.shape=(3,)", "1 axes", "(N, C*T, L)", "(N, L, T*C)"),
    ),
    "windows": value(
        jaxconv.fold, COLUMNS[..., :29], (7, 6), 2,
        says=("u.shape=(2, 12, 29)", "29 windows", "(7, 6)", "30",
        "stride and padding"),
    ),
    "taps": value(
        jaxconv.fold, COLUMNS[:, :11], (7, 6), 2,
        says=("u.shape=(2, 11, 30)", "11", "multiple", "4 taps",
        "kernel_size and layout"),
    ),
    "size": value(
        jaxconv.fold, COLUMNS, (7, 6, 5), 2,
        says=("output_size=(7, 6, 5)", "length 3", "2 spatial axes"),
    ),
}  # fmt: skip

VARIANTS = {
    "depthwise": value(
        jaxconv.depthwise_conv, LINE, KERNEL,
        says=("kernel.shape=(4, 3, 2)", "has 3 input channels", "kernel has 1",
        "(C*m, 1, *window)"),
    ),
    "depthwise multiple": value(
        jaxconv.depthwise_conv, LINE, draw(4, 1, 2),
        says=("kernel.shape=(4, 1, 2)", "4 kernels", "multiple of the 3 channels"),
    ),
    "pointwise": value(
        jaxconv.pointwise_conv, LINE, KERNEL,
        says=("kernel.shape=(4, 3, 2)", "window (2,)", "1 on every axis", "Use conv"),
    ),
}  # fmt: skip

ARITHMETIC = {
    "matrix channels": value(
        jaxconv.conv_matrix, KERNEL, (4, 7),
        says=("input_shape=(4, 7)", "4 channels", "expects 3", "3 channels"),
    ),
    "matrix rank": value(
        jaxconv.conv_matrix, KERNEL, (2, 3, 7), says=("input_shape=(2, 3, 7)", "space"),
    ),
    "matrix shape": kind(
        jaxconv.conv_matrix, KERNEL, 7, says=("input_shape=7", "not a shape", "tuple")
    ),
    "layer": kind(
        jaxconv.receptive_field, [3], says=("layers[0]=3", "mapping", "dict(kernel=3")
    ),
    "layer key": value(
        jaxconv.receptive_field, [{"kernel": 3}, {"kernel": 3, "size": 2}],
        says=("layers[1]=", "unknown keys ['size']", "'kernel', 'stride', 'dilation'"),
    ),
    "layer without kernel": value(
        jaxconv.receptive_field, [{"stride": 3}], says=("layers[0]=", "no kernel",
        "Write")
    ),
    "layer size": value(
        jaxconv.receptive_field, [{"kernel": 3, "stride": 0}],
        says=("layers[0]['stride']=0", "at least 1"),
    ),
    "layer word": kind(
        jaxconv.receptive_field, [{"kernel": 3, "padding": "same"}],
        says=("layers[0]['padding']='same'", "not an int"),
    ),
    "cost kernel": value(
        jaxconv.cost, (1, 3, 5), (4, 3), says=("kernel", "(4, 3)", "2 axes",
        "missing axes")
    ),
    "cost x": value(
        jaxconv.cost, (1, 3, 5, 5, 5), (4, 3, 2),
        says=("x_shape=(1, 3, 5, 5, 5)", "5 axes", "1 for space", "Give 3 axes"),
    ),
    "cost channels": value(
        jaxconv.cost, (1, 2, 5), (4, 3, 2), says=("x", "(1, 2, 5)", "2 channels", "3")
    ),
    "cost output_padding": value(
        jaxconv.cost, (1, 3, 5), (4, 3, 2), output_padding=1,
        says=("output_padding=1", "transposed", "transposed=True"),
    ),
    "sizes": value(
        jaxconv.conv_output_size, (5, 6), (1, 2, 3),
        says=("input_size=(5, 6)", "kernel_size=(1, 2, 3)", "same number of axes"),
    ),
    "size below one": value(
        jaxconv.conv_transpose_output_size, 3, 5, padding=9,
        says=("padding=9", "(-11,)", "at least 1"),
    ),
    "no int": kind(
        jaxconv.conv_output_size, 5.0, 3, says=("input_size=5.0", "not an int")
    ),
}  # fmt: skip

HUGE, WIDE, CUBE = 2**40, draw(1, 1, 4, 4), draw(1, 1, 4, 4, 4)
ONE = draw(1, 1, 1)
NOWHERE = np.zeros((1, 1, 4), np.float32)
SIZES = {
    "padding": conv(
        "padding=(9223372036854775803, ", "18,446,744,073,709,551,613 elements along",
        "at most 2,147,483,647", padding=2**63 - 5,
    ),
    "stride": turned("stride=1099511627776", "a step is at most", stride=HUGE),
    "three axes": conv(
        "padding=(1000000, ", "array of 1 x 1 x 2,000,004 x 2,000,004 x 2,000,004 = ",
        "1,099,511,627,776 (2**40)",
        x=CUBE, kernel=draw(1, 1, 3, 3, 3), padding=10**6,
    ),
    "stride of one result": conv("stride=", kernel=draw(4, 3, 7), stride=2**70),
    "dilation of one tap": conv("dilation=", kernel=draw(4, 3, 1), dilation=2**70),
    "dilation of causal": conv("dilation=", padding="causal", dilation=HUGE),
    "replicated": conv("padding=", padding=HUGE, padding_mode="replicate"),
    "result": turned("stride=900000000", "elements along", stride=9 * 10**8),
    "unfold": value(
        jaxconv.unfold, WIDE, 3, padding=2**20, says=("kernel_size=(3, 3)", "2**40")
    ),
    "fold": value(
        jaxconv.fold, draw(1, 1), (2**20, 2**21), (1, 1), stride=2**29,
        says=("output_size=(1048576, 2097152)", "2**40"),
    ),
    "matrix": value(
        jaxconv.conv_matrix, draw(1, 1, 3), (1, 2**30), sparse=True,
        says=("input_shape=(1, 1073741824)", "3,221,225,466 entries", "numbered"),
    ),
    "dense matrix": value(
        jaxconv.conv_matrix, draw(1, 1, 3), (1, 2**22), says=("input_shape=", "2**40"),
    ),
    "deform": value(
        jaxconv.deform_conv, ONE, NOWHERE[..., :1], ONE, stride=2**62, padding=2**61,
        says=("stride=4611686018427387904", "at most"),
    ),
    "deform transposed": value(
        jaxconv.deform_conv_transpose, draw(1, 1, 4), NOWHERE, ONE, stride=2**30,
        says=("stride=1073741824", "3,221,225,473 elements"),
    ),
    "aggregate": value(
        jaxconv.deform_aggregate, draw(1, 1, 4), NOWHERE, NOWHERE, (1,),
        dilation=2**62, says=("dilation=", "at most"),
    ),
    "stream": value(
        jaxconv.stream, jaxconv.conv, (4, 3, 3), dilation=2**40,
        says=("dilation=1099511627776", "2,199,023,255,553 inputs to remember"),
    ),
    "batch of a stream": value(
        jaxconv.stream(jaxconv.conv, (4, 3, 3)).init, 2**40,
        says=("batch=1099511627776", "6,597,069,766,656 elements"),
    ),
    "lax": value(
        jaxconv.conv_general_dilated, draw(1, 1, 4), ONE, (1,), [(0, 0)],
        lhs_dilation=(HUGE,), says=("lhs_dilation=", "elements along an axis"),
    ),
}  # fmt: skip

TABLES = {
    "sizes": SIZES,
    "words and ints": WORDS_AND_INTS,
    "padding": PADDING,
    "arrays": ARRAYS,
    "transposed": TRANSPOSED,
    "lowerings": LOWERINGS,
    "patches": PATCHES,
    "variants": VARIANTS,
    "arithmetic": ARITHMETIC,
}
MISTAKES = {
    f"{table}: {name}": mistake
    for table, mistakes in TABLES.items()
    for name, mistake in mistakes.items()
}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str) -> None:
    mistake = MISTAKES[name]
    ordered = ".*".join(map(re.escape, mistake.parts))
    with pytest.raises(mistake.error, match=rf"(?s){ordered}") as caught:
        mistake.call(*mistake.arguments, **mistake.options)
    assert type(caught.value) is mistake.error
    text = str(caught.value)
    assert re.fullmatch(r"\S.*[^.]\. [A-Z].*\.", text), text  # rule, then remedy
    assert len(text) < 400
    assert "\n" not in text


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
    call = jax.jit(lambda stride: jaxconv.conv(LINE, KERNEL, stride=stride))
    with pytest.raises(TypeError, match=r"stride=.*traced.*Write an int"):
        call(2)


def test_a_wide_result_needs_wide_types_switched_on() -> None:
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        jaxconv.conv(LINE, KERNEL, preferred_element_type=np.float64)


@pytest.mark.parametrize(
    "two", [2, np.int8(2), np.uint64(2), np.array(2), jnp.int32(2)], ids=repr
)
def test_any_whole_number_is_an_int(two: Any) -> None:
    y = jaxconv.conv(LINE, KERNEL, stride=two, padding=(two,), dilation=[two])
    want = jaxconv.conv(LINE, KERNEL, stride=2, padding=2, dilation=2)
    np.testing.assert_array_equal(y, want)


LATER = {
    "pair shows the whole": (
        lambda: jaxconv.conv(LINE, KERNEL, padding=[(1, -2)]),
        r"padding=\[\(1, -2\)\]: -2 must be at least 0",
    ),
    "no output channels": (
        lambda: jaxconv.conv(LINE, draw(0, 3, 2)),
        r"kernel.shape=\(0, 3, 2\): has no output channels",
    ),
    "name of another role": (
        lambda: jaxconv.conv(LINE, KERNEL, implementation="scatter"),
        "implementation='scatter': does not compute the role 'output'",
    ),
    "size arithmetic names kernel_size": (
        lambda: jaxconv.conv_output_size(3, 5),
        r"kernel_size=\(5,\): spans 5",
    ),
    "unfold names kernel_size": (
        lambda: jaxconv.unfold(draw(2, 3, 4, 5), 6),
        r"kernel_size=\(6, 6\): spans 6",
    ),
    "unfold without channels": (
        lambda: jaxconv.unfold(draw(2, 0, 4, 5), 2),
        r"x.shape=\(2, 0, 4, 5\): has a channel or spatial axis of size zero",
    ),
    "fold without channels": (
        lambda: jaxconv.fold(draw(2, 0, 12), (4, 5), 2),
        r"u.shape=\(2, 0, 12\): has no channels",
    ),
    "one legal size": (
        lambda: jaxconv.conv_transpose(draw(2, 4, 7), KERNEL, output_size=9),
        r"output_size=9: must be \(8,\), spatial axes only",
    ),
    "layers": (lambda: jaxconv.receptive_field(3), "layers=3: is not a sequence"),
    "dtype": (
        lambda: jaxconv.cost((3, 7), (4, 3, 2), dtype="x"),
        "dtype='x': is not a dtype",
    ),
    "nested precision": (
        lambda: jaxconv.conv(LINE, KERNEL, precision=[["high"], "high"]),
        "precision=.*: is nested",
    ),
}


@pytest.mark.parametrize("name", LATER)
def test_message_says_what_came_in_full(name: str) -> None:
    call, text = LATER[name]
    with pytest.raises((ValueError, TypeError), match=text):
        call()
