"""`python -m jaxconv explain`: one call in numbers, and in other libraries' words."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxconv
from jaxconv._border import arguments as can
from jaxconv._border.call import MODES, Setup, read_setup
from jaxconv._cli.errors import UserError
from jaxconv._cli.options import given
from jaxconv._cli.snippets import Call, snippets
from jaxconv._core.geometry import Axis, Ints, spread_extent

WINDOWS = ("stride", "padding", "dilation", "groups", "padding_mode")
BEYOND = ("output_padding", "output_size")
WIDTH = 88


def run(arguments: argparse.Namespace, transposed: bool) -> int:
    """Prints everything, or one line about what is wrong."""
    try:
        text = report(arguments, transposed)
    except (ValueError, TypeError) as error:
        raise UserError(f"{error}{_whole_shapes(arguments, transposed)}") from None
    print(text)
    return 0


def _whole_shapes(arguments: argparse.Namespace, transposed: bool) -> str:
    """A remedy where the sizes look like those of whole arrays."""
    given = arguments.input, arguments.kernel
    if not all(isinstance(size, tuple) and len(size) > 3 for size in given):
        return ""
    (_, inputs, *space), (first, second, *window) = given
    space, window = ("x".join(map(str, size)) for size in (space, window))
    channels = f"{inputs},{second if transposed else first}"
    said = f"--input {space} --kernel {window} --channels {channels}"
    return f" Or are these whole shapes? Sizes are of space alone: {said}"


def report(arguments: argparse.Namespace, transposed: bool) -> str:
    shapes = _shapes(arguments, transposed)
    setup = _setup(arguments, shapes, transposed)
    call = _call(setup, arguments)
    sections = {
        "Size": _size(call),
        **({"The same as a convolution": _zero_insertion(call)} if transposed else {}),
        "Matrix": _matrix(call),
        "Work": _work(call, shapes),
        "Reach": _reach(call),
        "What runs": _lowering(call, shapes, _named(arguments, transposed)),
    }
    lines = [_opening(call, shapes)]
    for title, body in sections.items():
        lines += ["", title, *(f"  {line}" for line in body)]
    lines = [textwrap.fill(v, WIDTH, subsequent_indent="    ") for v in lines]
    for name, code in snippets(call).items():
        lines += ["", f"# In {name}", "", code]  # as it is, to be pasted
    return "\n".join(lines)


def _named(arguments: argparse.Namespace, transposed: bool) -> dict[str, Any]:
    return given(arguments, *WINDOWS, *(BEYOND if transposed else ()))


def _setup(
    arguments: argparse.Namespace, shapes: tuple[Ints, Ints], transposed: bool
) -> Setup:
    role = "input" if transposed else "output"
    named = _named(arguments, transposed)
    dtype = np.dtype(np.float32)
    return read_setup(role, *shapes, dtype, layout="channels_first", **named)


def _shapes(arguments: argparse.Namespace, transposed: bool) -> tuple[Ints, Ints]:
    """Of x, a batch of one, and of the kernel, from sizes and channels."""
    sized = (arguments.input, arguments.kernel)
    ndim = max(len(size) if can.is_sequence(size) else 1 for size in sized)
    space, window = (
        can.ints(name, size, ndim, 1)
        for name, size in zip(("input", "kernel"), sized, strict=True)
    )
    groups = can.integer("groups", arguments.groups, 1)
    channels = arguments.channels or (groups, groups)
    inputs, outputs = can.ints("channels", channels, 2, 1)
    for count in (inputs, outputs):
        if count % groups:
            rule = f"cannot be split into groups={groups}"
            can.fail("channels", channels, rule, f"Choose multiples of {groups}")
    first, second = (inputs, outputs) if transposed else (outputs, inputs)
    return (1, inputs, *space), (first, second // groups, *window)


def _call(setup: Setup, arguments: argparse.Namespace) -> Call:
    """With the padding as it was asked for, in pairs."""
    geometry = setup.spec.geometry
    around = [sum(pair) for pair in setup.pads] or [0] * geometry.ndim
    image = tuple(i - n for i, n in zip(geometry.input, around, strict=True))
    sizes = image, geometry.kernel, geometry.stride, geometry.dilation
    pads = setup.pads or can.padding(arguments.padding, *sizes)
    op = (0,) * geometry.ndim
    if setup.spec.role == "input":
        each = zip(image, geometry.axes, pads, strict=True)
        op = tuple(i - (axis.reach - lo - hi) for i, axis, (lo, hi) in each)
    return Call(setup, pads, op)


def _opening(call: Call, shapes: tuple[Ints, Ints]) -> str:
    name = "conv_transpose" if call.transposed else "conv"
    x, kernel = shapes
    result = (1, call.setup.outputs, *call.size)
    return f"{name} of x {x} with kernel {kernel} gives {result}, all in float32."


# Sections -----------------------------------------------------------------------------


def _axes(call: Call) -> Iterator[tuple[int, Axis, int, int, int]]:
    pads = zip(call.pads, call.output_padding, strict=True)
    for index, (axis, (pair, op)) in enumerate(
        zip(call.setup.spec.geometry.axes, pads, strict=True)
    ):
        yield index, axis, *pair, op


def _size(call: Call) -> list[str]:
    """The formula, and the formula filled in, axis by axis."""
    letters = "i inputs, padding lo and hi, kernel k, dilation d, stride s"
    lines = [f"floor((i + lo + hi - d(k-1) - 1)/s) + 1 outputs: {letters}"]
    if call.transposed:
        letters += ", output padding op"
        lines = [f"(i-1)s - lo - hi + d(k-1) + op + 1 outputs: {letters}"]
    for index, axis, lo, hi, op in _axes(call):
        n, k, s, d, i = call.size[index], axis.k, axis.s, axis.d, axis.o
        if call.transposed:
            filled = f"({i}-1)*{s} - {lo} - {hi} + {d}*({k}-1) + {op} + 1 = {n}"
        else:
            i = axis.i - (lo + hi if call.filled else 0)
            filled = f"floor(({i} + {lo} + {hi} - {d}*({k}-1) - 1)/{s}) + 1 = {n}"
        lines.append(f"axis {index}: {filled}")
    return lines


def _zero_insertion(call: Call) -> list[str]:
    """The four steps with their numbers."""
    lines = [
        "Zeros are put between the inputs and around them; the kernel, turned by 180 "
        "degrees, slides over that with stride 1."
    ]
    for index, axis, lo, hi, op in _axes(call):
        stretched = (axis.o - 1) * axis.s + 1
        lo, hi = (0, 0) if call.filled else (lo, hi)
        low, high = axis.span - 1 - lo, axis.span - 1 - hi + op
        words = f"with {axis.s - 1} between them {axis.o} inputs take {stretched}"
        words += f" elements, with {low} in front and {high} behind"
        seen = f"{stretched} + {low} + {high} - {axis.span} + 1 = {axis.i} outputs"
        lines.append(f"axis {index}: {words}: {seen}")
    if any(spread_extent(axis).empty for axis in call.setup.spec.geometry.axes):
        lines.append("Every input is cut off, so only zeros are left.")
    if min(side for pair in call.border for side in pair) < 0 and not call.filled:
        lines.append("A negative number of zeros cuts inputs off.")
    if call.filled:
        lines.append("Then what lies in the padding is added where it was read.")
    return lines


def _matrix(call: Call) -> list[str]:
    """Shape and share of zeros, from the geometry alone."""
    setup = call.setup
    geometry, groups = setup.spec.geometry, setup.spec.groups
    outputs, inputs = setup.outputs, setup.shape[1]
    if call.transposed:
        outputs, inputs = inputs, outputs
    image = call.size if call.transposed else setup.shape[2:]
    rows, columns = outputs * geometry.positions, inputs * math.prod(image)
    pairs = outputs * inputs // groups
    filled = pairs * math.prod(_distinct(call))
    zeros = 1 - filled / (rows * columns)
    name = "As a matrix it"
    if call.transposed:
        name = "The convolution's matrix, transposed,"
        rows, columns = columns, rows
    words = f"{filled:,} of its {rows * columns:,} entries can differ from zero"
    return [f"{name} is {rows:,} x {columns:,}; {words} ({zeros:.1%} are zeros)."]


def _distinct(call: Call) -> Iterator[int]:
    """Per axis, the pairs of a position and an input that some tap connects."""
    for _, axis, lo, hi, _ in _axes(call):
        places = np.arange(axis.i)
        if call.filled:
            mode: Any = MODES[call.setup.mode]
            places = np.pad(np.arange(axis.i - lo - hi), (lo, hi), mode=mode)
        yield len(
            {
                (p, int(places[q]))
                for p in range(axis.o)
                for t in range(axis.k)
                if 0 <= (q := p * axis.s + t * axis.d - axis.lo) < axis.i
            }
        )


def _work(call: Call, shapes: tuple[Ints, Ints]) -> list[str]:
    """Counted from the same geometry as `jaxconv.cost`."""
    setup = call.setup
    geometry = setup.spec.geometry
    weights = math.prod(shapes[1])
    dense = weights * geometry.positions
    valid = weights // geometry.taps * geometry.valid_taps
    result = setup.outputs * math.prod(call.size)
    held = 4 * (math.prod(shapes[0]) + weights + result)
    return [
        f"The kernel has {weights:,} parameters; a bias would add {setup.outputs:,}.",
        f"One image takes {dense:,} multiply-adds ({2 * dense:,} floating-point "
        f"operations), of which {valid:,} are not with zeros of the padding.",
        f"x, kernel and result take {held:,} bytes.",
    ]


def _reach(call: Call) -> list[str]:
    """How far apart what meets in one output lies."""
    lines: list[str] = []
    for index, axis, *_ in _axes(call):
        if call.transposed:
            rests = [t * axis.d % axis.s for t in range(axis.k)]
            met = sorted({rests.count(rest) for rest in range(axis.s)})
            told = " or ".join(map(str, met))
            words = f"each input is added to {axis.k} outputs within {axis.span}; "
            words += f"away from the border an output is the sum of {told} inputs"
        else:
            layer = {"kernel": axis.k, "stride": axis.s, "dilation": axis.d}
            seen = jaxconv.receptive_field([layer])
            words = f"an output sees {seen.size} inputs, the next one starts "
            words += f"{seen.stride} further"
        lines.append(f"axis {index}: {words}")
    return lines


def _lowering(
    call: Call, shapes: tuple[Ints, Ints], named: dict[str, Any]
) -> list[str]:
    """What `jaxconv.explain` says about the way it is computed."""
    function = jaxconv.conv_transpose if call.transposed else jaxconv.conv
    x, kernel = (jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes)
    text = jaxconv.explain(partial(function, **named), x, kernel)
    said = [line.strip() for line in text.split("\n")]
    kept = ("on ", "because: ", "measured: ", "it needs ", "could also run: ")
    return [f"{line[0].upper()}{line[1:]}." for line in said if line.startswith(kept)]
