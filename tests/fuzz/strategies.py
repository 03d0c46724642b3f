"""What is drawn: every argument over its whole range, mostly in valid calls."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

from fuzz.calls import Call
from fuzz.reference import Conv, Refused, conv_window
from fuzz.transforms import DERIVATIVES
from jaxconv import lowerings
from oracle import Ints

FLOATS = ("float64", "float64", "float64", "float32", "bfloat16", "float16")
OTHERS = ("complex64", "complex128", "int8", "uint8", "int16", "int32", "int64")
WIDER = {
    "float32": ("float32", "float64"),
    "float64": ("float64",),
    "bfloat16": ("bfloat16", "float32"),
    "float16": ("float16", "float32", "float64"),
    "int8": ("int32", "int64", "float32"),
    "uint8": ("int32", "uint32", "float32"),
    "int16": ("int32", "int64"),
    "int32": ("int32", "int64"),
    "complex64": ("complex64", "complex128"),
}
MODES = ("reflect", "replicate", "circular")
NAMES = {
    "conv": lowerings("output"),
    "conv_transpose": lowerings("input"),
    "depthwise_conv": lowerings("output"),
    "pointwise_conv": lowerings("output"),
    "separable_conv": lowerings("output"),
}
FUNCTIONS = (
    *("conv", "conv_transpose") * 6,
    *("depthwise_conv", "pointwise_conv", "separable_conv"),
    *("unfold", "fold", "conv_matrix"),
)
Draw = Any


def seldom(draw: Draw, one_in: int) -> bool:
    return draw(st.integers(0, one_in - 1)) == one_in - 1


@st.composite
def calls(draw: Draw, engines: tuple[str, ...] = ("numpy",)) -> Call:
    function = draw(st.sampled_from(FUNCTIONS))
    ndim = draw(st.sampled_from((1, 2, 2, 3)))
    options: dict[str, Any] = {}
    k = draw(_sizes(ndim, 1, 4 if ndim < 3 else 3))
    _steps_and_padding(draw, options, function, ndim, k)
    space = draw(_sizes(ndim, 1, (11, 7, 4)[ndim - 1]))
    if seldom(draw, 30):
        space = (0, *space[1:])
    shapes = _shapes(draw, options, function, space, k)
    if not seldom(draw, 8):
        _repair(options, function, shapes)
    if function == "conv_transpose" and seldom(draw, 3):
        _size(draw, options, shapes)
    dtype = draw(st.sampled_from(OTHERS if seldom(draw, 4) else FLOATS))
    if function in NAMES:
        _computation(draw, options, function, dtype)
    steps = _steps(draw, shapes, function, dtype)
    engine = draw(st.sampled_from(engines))
    return Call(
        function, shapes, options, dtype, steps, engine, draw(st.integers(0, 999))
    )


def _repair(options: dict[str, Any], function: str, shapes: tuple[Ints, ...]) -> None:
    """Leaves options out until the call is valid, if that can make it so."""
    doubtful = ("output_padding", "padding_mode", "padding", "dilation", "stride")
    for name in doubtful if function != "fold" else ():
        try:
            Call(function, shapes, options).operation()
        except Refused:
            options.pop(name, None)


def _size(draw: Draw, options: dict[str, Any], shapes: tuple[Ints, ...]) -> None:
    """output_size, mostly of those that there are."""
    options.pop("output_padding", None)
    try:
        operation = Call("conv_transpose", shapes[:2], options).operation()
    except Refused:
        return
    assert isinstance(operation, Conv)
    window = operation.how[0]
    options["output_size"] = tuple(
        i + draw(st.integers(0, s - 1))
        for i, s in zip(window[0], window[3], strict=True)
    )


@st.composite
def _sizes(draw: Draw, ndim: int, least: int, most: int) -> Ints:
    return tuple(draw(st.integers(least, most)) for _ in range(ndim))


def _per_axis(draw: Draw, ndim: int, least: int, most: int) -> Any:
    """An int, or one per axis as a tuple or list."""
    if draw(st.booleans()):
        return draw(st.integers(least, most))
    entries = draw(_sizes(ndim, least, most))
    return list(entries) if seldom(draw, 8) else entries


def _steps_and_padding(
    draw: Draw, options: dict[str, Any], function: str, ndim: int, k: Ints
) -> None:
    if draw(st.booleans()):
        options["stride"] = _per_axis(draw, ndim, 1, 4)
    if function == "pointwise_conv":
        return
    if draw(st.booleans()):
        options["dilation"] = _per_axis(draw, ndim, 1, 3)
    if draw(st.booleans()):
        options["padding"] = draw(_paddings(ndim))
    if function in ("unfold", "fold"):
        return
    if seldom(draw, 3):
        options["padding_mode"] = draw(st.sampled_from(MODES))
    if function == "conv_transpose":
        if seldom(draw, 3):
            options["output_padding"] = _per_axis(draw, ndim, 0, 3)


@st.composite
def _paddings(draw: Draw, ndim: int) -> Any:
    kind = draw(st.sampled_from(("int", "pairs", "word")))
    if kind == "int":
        return _per_axis(draw, ndim, 0, 4)
    if kind == "pairs":
        pairs = tuple(draw(_sizes(2, 0, 4)) for _ in range(ndim))
        return [list(pair) for pair in pairs] if seldom(draw, 8) else pairs
    words = ("SAME", "SAME_LOWER", "same", "valid", "VALID", "causal")
    return draw(st.sampled_from(words[: None if ndim == 1 else -1]))


def _shapes(
    draw: Draw, options: dict[str, Any], function: str, space: Ints, k: Ints
) -> tuple[Ints, ...]:
    """Of all arrays, in the layout drawn; goes with `calls._conv` and its like."""
    last = draw(st.booleans())
    if last:
        options["layout"] = "channels_last"
    few = st.integers(1, 3) if not seldom(draw, 12) else st.integers(4, 17)
    n, c, o = draw(st.integers(1, 3)), draw(few), draw(st.integers(1, 3))
    groups = draw(st.integers(2, 3)) if seldom(draw, 3) else 1
    if seldom(draw, 40):
        c = 0
    if seldom(draw, 20):
        n = 0
    batch = () if seldom(draw, 5) else (n,)

    def image(channels: int, space: Ints) -> Ints:
        return (*batch, *space, channels) if last else (*batch, channels, *space)

    def kernel(o: int, c: int, k: Ints) -> Ints:
        return (*k, c, o) if last else (o, c, *k)

    if function == "unfold":
        options["kernel_size"] = k
        return (image(c, space),)
    if function == "fold":
        return (_columns(draw, options, image, c, space, k),)
    ones = (1,) * len(k)
    if function in ("depthwise_conv", "separable_conv"):
        found = [image(c, space), kernel(c * o, 1, k)]
        if function == "separable_conv":
            found.append(kernel(groups * o, c * o, ones))
        outputs = groups * o if function == "separable_conv" else c * o
    else:
        if groups > 1:
            options["groups"] = groups
        k = ones if function == "pointwise_conv" else k
        o, c = groups * o, max(1, c // groups) if c > 3 else c
        turned = function == "conv_transpose"
        found = [image(o if turned else c * groups, space), kernel(o, c, k)]
        outputs = c * groups if turned else o
    if function == "conv_matrix":
        options["input_shape"] = found[0][len(batch) :]
        return (found[1],)
    if draw(st.booleans()):
        found.append((outputs,))
    return tuple(found)


def _columns(
    draw: Draw, options: dict[str, Any], image: Any, c: int, space: Ints, k: Ints
) -> Ints:
    """As many columns as there are windows, if any fit."""
    options["output_size"], options["kernel_size"] = space, k
    try:
        length = math.prod(conv_window(space, k, options).output)
    except Refused:
        length = 3
    return image(c * math.prod(k), (length,))


def _computation(
    draw: Draw, options: dict[str, Any], function: str, dtype: str
) -> None:
    if draw(st.booleans()):
        options["implementation"] = draw(st.sampled_from(NAMES[function]))
    if dtype in WIDER and seldom(draw, 6):
        options["preferred_element_type"] = draw(st.sampled_from(WIDER[dtype]))
    if seldom(draw, 12):
        options["precision"] = draw(
            st.sampled_from(("highest", "default", ("high", "highest")))
        )


# Transformations ----------------------------------------------------------------------


def _steps(
    draw: Draw, shapes: tuple[Ints, ...], function: str, dtype: str
) -> tuple[tuple[Any, ...], ...]:
    ranks = [len(shape) for shape in shapes]
    steps: list[tuple[Any, ...]] = []
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        steps.append(_inner(draw, ranks))
    derivative = _derivative(draw, function, dtype, shapes)
    if derivative is not None:
        steps.append(derivative)
        for _ in range(draw(st.sampled_from((0, 0, 0, 1)))):
            kind = draw(st.sampled_from(("jit", "checkpoint", "vmap", "scan")))
            mapped = kind in ("vmap", "scan")
            which = (draw(st.integers(0, 63)), 2) if mapped else ()
            steps.append((kind, *which))
    return tuple(steps)


def _inner(draw: Draw, ranks: list[int]) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(("jit", "checkpoint", "vmap", "vmap", "scan")))
    if kind in ("jit", "checkpoint"):
        return (kind,)
    size = draw(st.sampled_from((2, 3)))
    first = draw(st.integers(0, len(ranks) - 1))  # mapped in any case
    mapped = [i == first or draw(st.booleans()) for i in range(len(ranks))]
    if kind == "scan":
        axes: list[int | None] = [0 if m else None for m in mapped]
    else:
        axes = [
            draw(st.integers(0, rank)) if m else None
            for m, rank in zip(mapped, ranks, strict=True)
        ]
    for i, axis in enumerate(axes):
        ranks[i] += axis is not None
    if kind == "scan":
        return ("scan", tuple(mapped), size)
    return ("vmap", tuple(axes), draw(st.integers(0, 2)), size)


def _derivative(
    draw: Draw, function: str, dtype: str, shapes: tuple[Ints, ...]
) -> tuple[Any, ...] | None:
    kinds: tuple[str, ...] = DERIVATIVES
    if "int" in dtype:  # has no derivatives, and JAX's transposes are not sure of it
        kinds = ()
    if len(shapes[-1]) == 1 < len(shapes):  # a bias: the function is not linear
        kinds = kinds[:-1] if len(kinds) > 1 else ()
    kind = draw(st.sampled_from((None, *kinds)))
    if kind != "linear":
        return None if kind is None else (kind,)
    return ("linear", draw(st.integers(0, len(shapes) - 1)))
