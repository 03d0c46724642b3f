"""Every public function, every argument, every way of being wrong.

A valid call, with one argument made wrong at a time.  Each is refused at the border, by
an error raised in jaxconv that names the argument, shows what came and says the rule.
`test_errors` has the messages word by word; here it is the sheer number that counts.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from jaxconv import viz

RNG = np.random.default_rng(11)
HOME = str(Path(jaxconv.__file__).parent)
# The argument and what came, the rule, the remedy.
MESSAGE = re.compile(r"(?s)(.+?)(=| is ).+\. [A-Z\"].+\.")


def draw(*shape: int, dtype: Any = np.float32) -> jax.Array:
    return jnp.asarray(RNG.standard_normal(shape), dtype)


def ones(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Made by NumPy, which compiles nothing."""
    return jnp.asarray(np.ones(shape, dtype))


class Base(NamedTuple):
    """A valid call: its arguments by name, in the function's order."""

    call: Callable[..., Any]
    arguments: dict[str, Any]


PLANE = {"x": draw(2, 4, 7, 6), "kernel": draw(6, 2, 2, 3), "bias": draw(6)}
WHOLE = {"x": draw(2, 4, 7, 6), "kernel": draw(6, 4, 2, 3), "bias": draw(6)}
DEFORMED = {
    "x": draw(2, 4, 7, 6),
    "offset": draw(2, 12, 6, 4),
    "kernel": WHOLE["kernel"],
}
SIZES = {"input_size": (9, 8), "kernel_size": (3, 2)}


def identity(x: Any) -> Any:
    return x


def model(x: Any) -> Any:
    return jaxconv.conv(x, WHOLE["kernel"])


BASES = {
    "conv": Base(jaxconv.conv, {**PLANE, "groups": 2}),
    "conv_transpose": Base(
        jaxconv.conv_transpose,
        {
            "x": draw(2, 6, 4, 5),
            "kernel": PLANE["kernel"],
            "bias": draw(4),
            "groups": 2,
        },
    ),
    "depthwise_conv": Base(
        jaxconv.depthwise_conv,
        {"x": PLANE["x"], "kernel": draw(8, 1, 2, 3), "bias": draw(8)},
    ),
    "pointwise_conv": Base(
        jaxconv.pointwise_conv,
        {"x": PLANE["x"], "kernel": draw(6, 2, 1, 1), "bias": draw(6), "groups": 2},
    ),
    "separable_conv": Base(
        jaxconv.separable_conv,
        {
            "x": PLANE["x"],
            "depthwise_kernel": draw(8, 1, 2, 3),
            "pointwise_kernel": draw(5, 8, 1, 1),
            "bias": draw(5),
        },
    ),
    "unfold": Base(jaxconv.unfold, {"x": PLANE["x"], "kernel_size": (2, 3)}),
    "fold": Base(
        jaxconv.fold,
        {"u": draw(2, 24, 24), "output_size": (7, 6), "kernel_size": (2, 3)},
    ),
    "conv_matrix": Base(
        jaxconv.conv_matrix,
        {"kernel": PLANE["kernel"], "input_shape": (4, 7, 6), "groups": 2},
    ),
    "conv_output_size": Base(jaxconv.conv_output_size, SIZES),
    "conv_transpose_output_size": Base(jaxconv.conv_transpose_output_size, SIZES),
    "receptive_field": Base(jaxconv.receptive_field, {"layers": [{"kernel": 3}]}),
    "cost": Base(
        jaxconv.cost,
        {"x_shape": (2, 4, 7, 6), "kernel_shape": (6, 2, 2, 3), "groups": 2},
    ),
    "cost transposed": Base(
        jaxconv.cost,
        {
            "x_shape": (2, 6, 7, 5),
            "kernel_shape": (6, 2, 2, 3),
            "groups": 2,
            "transposed": True,
            "stride": 2,
        },
    ),
    "deform_conv": Base(
        jaxconv.deform_conv, {**DEFORMED, "bias": draw(6), "mask": draw(2, 6, 6, 4)}
    ),
    "deform_conv_transpose": Base(
        jaxconv.deform_conv_transpose,
        {
            "x": draw(2, 6, 6, 4),
            "offset": DEFORMED["offset"],
            "kernel": WHOLE["kernel"],
            "bias": draw(4),
            "mask": draw(2, 6, 6, 4),
        },
    ),
    "deform_aggregate": Base(
        jaxconv.deform_aggregate,
        {
            "x": PLANE["x"],
            "offset": draw(2, 12, 6, 4),
            "weights": draw(2, 6, 6, 4),
            "kernel_size": (2, 3),
        },
    ),
    "deform_attention_sample": Base(
        jaxconv.deform_attention_sample,
        {
            "values": draw(2, 14, 3, 5),
            "spatial_shapes": ((4, 3), (1, 2)),
            "locations": draw(2, 7, 3, 2, 4, 2),
            "weights": draw(2, 7, 3, 2, 4),
        },
    ),
    "lowerings": Base(inspect.unwrap(jaxconv.lowerings), {"role": "output"}),
    "explain": Base(jaxconv.explain, {"fn": model, "x": PLANE["x"]}),
    "summarize": Base(jaxconv.summarize, {"fn": model, "x": PLANE["x"]}),
    "tune": Base(jaxconv.tune, {"fn": identity, "x": PLANE["x"], "repeats": 1}),
    "input_support": Base(
        jaxconv.input_support, {"fn": identity, "x": PLANE["x"], "index": (0, 1, 2, 3)}
    ),
    "accelerate": Base(jaxconv.accelerate, {"fn": model}),
    "viz.conv": Base(viz.conv, {"input": (5, 4), "kernel": (3, 2)}),
    "viz.conv_transpose": Base(viz.conv_transpose, {"input": (5, 4), "kernel": (3, 2)}),
    "viz.matrix": Base(viz.matrix, {"input": (5, 4), "kernel": (3, 2)}),
    "viz.channels": Base(viz.channels, {"inputs": 4, "outputs": 6}),
    "viz.deform": Base(
        viz.deform,
        {"photo": np.zeros((5, 4)), "offset": np.zeros((8, 4, 3)), "kernel": (2, 2)},
    ),
    "viz.dilations": Base(viz.dilations, {"kernel": (3, 2)}),
    "viz.overlap": Base(viz.overlap, {"input": (5, 4), "kernel": (3, 2)}),
    "viz.receptive": Base(
        viz.receptive, {"photo": np.zeros((9, 8)), "layers": [{"kernel": 3}]}
    ),
    "Scene.svg": Base(viz.dilations(3).svg, {}),
    "Scene.html": Base(viz.dilations(3).html, {}),
}
BY_PLACE = {
    "accelerate": ("fn",),
    "explain": ("fn", "x"),
    "summarize": ("fn", "x"),
    "tune": ("fn", "x"),
}


class Traced:
    """Stands for a value that jit traces."""

    def __init__(self, dtype: Any = jnp.int32):
        self.value = ones((), dtype)

    def __repr__(self) -> str:
        return f"traced {self.value.dtype}"


# The ways of being wrong --------------------------------------------------------------

SCALARS = {
    "bool": True, "numpy bool": np.True_, "float": 1.5, "whole float": 2.0,
    "nan": float("nan"), "infinity": float("inf"), "numpy float": np.float32(2),
    "jax float": jnp.float32(2), "complex": 1j, "word": "2", "bytes": b"2",
    "dict": {}, "set": {1}, "object": object(), "type": int,
    "traced": Traced(), "traced float": Traced(jnp.float32),
}  # fmt: skip
LISTS = {
    "empty": (),
    "too long": (1, 1, 1),
    "float in it": (1, 1.5),
    "nan in it": (1, float("nan")),
    "bool in it": (True, 1),
    "word in it": ("1", 1),
    "none in it": (1, None),
    "nested": ((1,), (1,)),
    "traced in it": (1, Traced()),
    "float array": np.ones(2),
    "jax array": ones(2, int),
    "bool array": np.array([True, True]),
    "matrix": np.ones((2, 3), int),
}
AT_LEAST = {"negative": -1, "numpy negative": np.int64(-2), "negative in it": (1, -1)}
FROM_ONE = {**AT_LEAST, "zero": 0, "zero in it": (1, 0)}


def one_int(least: int, *, optional: bool = False) -> dict[str, Any]:
    found = {**SCALARS, "list": (1, 1), "empty": ()}
    found |= {"negative": -1, "numpy negative": np.int64(-3)}
    if least == 1:
        found["zero"] = 0
    return found if optional else {**found, "none": None}


def ints(least: int, *, optional: bool = False) -> dict[str, Any]:
    found = {**SCALARS, **LISTS, **(FROM_ONE if least else AT_LEAST)}
    return found if optional else {**found, "none": None}


PADDING = {
    **ints(0),
    "unknown word": "half", "other case": "Valid", "empty word": "", "full": "full",
    "one pair": ((1, 2),), "mixed": ((1, 2), 3), "of three": ((1, 2, 3), (1, 2, 3)),
    "negative in a pair": ((1, -2), (0, 0)), "float in a pair": ((1, 1.5), (0, 0)),
    "bool in a pair": ((1, True), (0, 0)), "none in a pair": ((1, None), (0, 0)),
    "word in a pair": (("1", 1), (0, 0)), "causal": "causal",
}  # fmt: skip
del PADDING["word"]  # "2" is an unknown word, checked above as others are


def words(*near: str, optional: bool = False) -> dict[str, Any]:
    found = {
        "empty": "", "number": 3, "bytes": b"xla", "list": ["zeros"], "bool": True,
        "dict": {}, "array": np.zeros(3),
    } | {word: word for word in near}  # fmt: skip
    return found if optional else {**found, "none": None}


LAYOUT = words("NCHW", "NHWC", "channels-first", "CHANNELS_LAST", " channels_first")
MODES = words("wrap", "constant", "edge", "Zeros", "symmetric")
IMPLEMENTATION = words("fast", "XLA", "winograd", "auto", "default", optional=True)
PRECISION = {
    "unknown": "best", "empty": "", "number": 7, "float": 1.5, "one": ("high",),
    "three": ("high",) * 3, "nested": (("high",), "high"), "second": ("high", "best"),
    "dict": {}, "object": object(),
}  # fmt: skip
ELEMENT_TYPE = {
    "unknown": "wide", "narrow": "float16", "integer": "int32", "number": 3,
    "object": object(), "bool": "bool", "bfloat16": jnp.bfloat16, "string": "U3",
}  # fmt: skip
NOT_ARRAYS = {
    "list": [[1.0]],
    "tuple": (1.0,),
    "int": 3,
    "float": 2.5,
    "word": "x",
    "bytes": b"x",
    "dict": {},
    "object": object(),
    "function": identity,
    "nan": float("nan"),
}
SHAPE = {
    "int": 7, "none": None, "word": "abc", "dict": {}, "float in it": (2, 4, 7.0, 6),
    "negative in it": (2, 4, -7, 6), "bool in it": (True, 4, 7, 6), "empty": (),
    "one": (4,), "too long": (1,) * 7, "nested": ((2, 4), (7, 6)), "set": {1, 2},
    "traced in it": (2, 4, Traced(), 6),
}  # fmt: skip
LAYERS = {
    "int": 3,
    "none": None,
    "dict": {"kernel": 3},
    "word": "kernel",
    "of ints": [3],
    "of lists": [[3, 1]],
    "of none": [None],
    "no kernel": [{"stride": 2}],
    "unknown key": [{"kernel": 3, "size": 2}],
    "number as key": [{"kernel": 3, 1: 2}],
    "zero kernel": [{"kernel": 0}],
    "negative padding": [{"kernel": 3, "padding": -1}],
    "float stride": [{"kernel": 3, "stride": 1.5}],
    "bool": [{"kernel": True}],
    "word padding": [{"kernel": 3, "padding": "same"}],
    "pair": [{"kernel": (3, 3)}],
    "none stride": [{"kernel": 3, "stride": None}],
    "nan": [{"kernel": float("nan")}],
    "second": [{"kernel": 3}, {"kernel": 3, "dilation": 0}],
    "traced": [{"kernel": Traced()}],
}


def arrays(
    name: str, shape: tuple[int, ...], *, floating: bool = False
) -> dict[str, Any]:
    """Wrong in kind, in type, and in every axis of the shape."""
    found: dict[str, Any] = {**NOT_ARRAYS, "bools": ones(shape, bool)}
    found |= {"strings": np.full(shape, "a"), "objects": np.full(shape, None)}
    found["other type"] = ones(shape, jnp.float16)
    found["integers"] = ones(shape, jnp.int32)
    found["no axes"] = ones((), jnp.float32)
    found["two axes more"] = ones((*shape, 1, 1), jnp.float32)
    if name != "bias" and name != "mask":
        found["none"] = None
    if floating:
        found["complex"] = ones(shape, jnp.complex64)
    return found


def resized(shape: tuple[int, ...], *axes: int, by: int = 1) -> dict[str, Any]:
    return {
        f"axis {axis} by {by}": ones(
            (*shape[:axis], shape[axis] + by, *shape[axis + 1 :]), jnp.float32
        )
        for axis in axes
    }


def emptied(shape: tuple[int, ...], *axes: int) -> dict[str, Any]:
    return {
        f"axis {axis} empty": ones((*shape[:axis], 0, *shape[axis + 1 :]), jnp.float32)
        for axis in axes
    }


# Which axes of an array are fixed by the others, and which may not be empty.
FIXED: dict[tuple[str, str], tuple[tuple[int, ...], tuple[int, ...]]] = {
    ("conv", "x"): ((1,), (2, 3)),
    ("conv", "kernel"): ((0, 1), (0, 2, 3)),
    ("conv", "bias"): ((0,), (0,)),
    ("conv_transpose", "x"): ((1,), (1, 2, 3)),
    ("conv_transpose", "kernel"): ((0,), (0, 1, 2, 3)),
    ("conv_transpose", "bias"): ((0,), (0,)),
    ("depthwise_conv", "x"): ((1,), (1, 2, 3)),
    ("depthwise_conv", "kernel"): ((0, 1), (0, 1, 2, 3)),
    ("depthwise_conv", "bias"): ((0,), (0,)),
    ("pointwise_conv", "x"): ((1,), (2, 3)),
    ("pointwise_conv", "kernel"): ((0, 1, 2, 3), (0, 2, 3)),
    ("pointwise_conv", "bias"): ((0,), (0,)),
    ("separable_conv", "x"): ((1,), (1, 2, 3)),
    ("separable_conv", "depthwise_kernel"): ((0, 1), (0, 1, 2, 3)),
    ("separable_conv", "pointwise_kernel"): ((1, 2, 3), (0, 1, 2, 3)),
    ("separable_conv", "bias"): ((0,), (0,)),
    ("unfold", "x"): ((), (1, 2, 3)),
    ("fold", "u"): ((1, 2), (1, 2)),
    ("conv_matrix", "kernel"): ((0, 1), (0, 1, 2, 3)),
    ("deform_conv", "x"): ((0, 1, 2, 3), (1, 2, 3)),
    ("deform_conv", "offset"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_conv", "kernel"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_conv", "bias"): ((0,), (0,)),
    ("deform_conv", "mask"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_conv_transpose", "x"): ((0, 1, 2, 3), (1, 2, 3)),
    ("deform_conv_transpose", "offset"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_conv_transpose", "kernel"): ((0, 2, 3), (0, 1, 2, 3)),
    ("deform_conv_transpose", "bias"): ((0,), (0,)),
    ("deform_conv_transpose", "mask"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_aggregate", "x"): ((0, 2, 3), (2, 3)),
    ("deform_aggregate", "offset"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_aggregate", "weights"): ((0, 1, 2, 3), (0, 1, 2, 3)),
    ("deform_attention_sample", "values"): ((0, 1, 2), (0, 1, 2)),
    ("deform_attention_sample", "locations"): ((0, 2, 3, 5), (0, 2, 3, 5)),
    ("deform_attention_sample", "weights"): ((0, 1, 2, 3, 4), (0, 1, 2, 3, 4)),
}  # fmt: skip
FLOATING = {
    "deform_conv",
    "deform_conv_transpose",
    "deform_aggregate",
    "deform_attention_sample",
}
ONLY = {"unfold", "fold", "conv_matrix"}  # one array: no other type to agree with


def of_arrays() -> Iterator[tuple[str, str, str, Any]]:
    for (name, argument), (fixed, full) in FIXED.items():
        shape = BASES[name].arguments[argument].shape
        wrong = arrays(argument, shape, floating=name in FLOATING)
        wrong |= resized(shape, *fixed) | emptied(shape, *full)
        if name in ONLY:
            fits = {"other type", "integers"}
            if name != "conv_matrix":  # the others move bools
                fits.add("bools")
            wrong = {way: value for way, value in wrong.items() if way not in fits}
        if argument in ("bias", "mask"):
            wrong |= {"column": ones((*shape, 1), jnp.float32)}
        for way, value in wrong.items():
            yield name, argument, way, value


# Every other argument, with the words for those functions that have it.
OPTIONS: dict[str, dict[str, Any]] = {
    "stride": ints(1),
    "dilation": ints(1),
    "padding": PADDING,
    "output_padding": {**ints(0), "beyond the stride": 2},
    "output_size": {**ints(1, optional=True), "too small": 2, "too large": 99},
    "groups": {**one_int(1), "does not divide": 4, "more than channels": 12},
    "padding_mode": MODES,
    "layout": LAYOUT,
    "implementation": IMPLEMENTATION,
    "precision": PRECISION,
    "preferred_element_type": ELEMENT_TYPE,
    "memory_limit": one_int(1, optional=True),
    "kernel_size": {**ints(1), "beyond the input": 9},
    "input_size": ints(1),
    "input_shape": {
        **SHAPE,
        "batch": (2, 4, 7, 6),
        "no channels": (0, 7, 6),
        "other channels": (3, 7, 6),
    },
    "x_shape": {**SHAPE, "other channels": (2, 5, 7, 6)},
    "kernel_shape": {
        **SHAPE,
        "other channels": (6, 3, 2, 3),
        "empty window": (6, 2, 0, 3),
    },
    "dtype": {"unknown": "wide", "number": 3, "object": object()},
    "offset_scale": {
        "word": "1",
        "none": None,
        "bool": True,
        "nan": float("nan"),
        "infinity": float("inf"),
        "list": [1.0],
        "complex": 1j,
        "array": np.ones(2),
        "traced": Traced(jnp.float32),
    },
    "layers": LAYERS,
    "spatial_shapes": {
        "int": 3,
        "none": None,
        "word": "ab",
        "array": ones((2, 2), int),
        "empty": (),
        "not nested": (4, 3),
        "uneven": ((4, 3), (2,)),
        "negative": ((4, 3), (-1, 2)),
        "float": ((4, 3.0), (1, 2)),
        "other sizes": ((4, 3), (2, 2)),
        "zero": ((4, 3), (0, 2)),
        "bool": ((4, 3), (True, 2)),
        "traced": ((4, 3), (Traced(), 2)),
        "empty levels": ((), ()),
    },
    "role": words("forward", "Output", "outputs"),
    "method": words("Structure", "jacobian"),
    "index": {
        "none": None,
        "word": "0123",
        "float": 1.5,
        "too short": (0, 1),
        "too long": (0,) * 5,
        "int": 2,
        "out of range": (0, 1, 2, 6),
        "below range": (0, 1, -8, 0),
        "float in it": (0, 1, 2.0, 3),
        "none in it": (0, 1, None, 3),
        "slice": (0, 1, slice(None), 3),
        "bool": (0, 1, True, 0),
        "ellipsis": (0, ...),
        "array": np.ones(4),
        "traced": (0, 1, Traced(), 3),
    },
    "repeats": one_int(1),
    "platform": words("gpus", "CPU", "metal", optional=True),
    "fn": {
        "none": None,
        "number": 3,
        "word": "conv",
        "array": np.ones(3),
        "list": [model],
        "dict": {},
    },
    "view": words("gather", "Scatter"),
    "theme": words("blue", "Dark"),
    "channels": {
        "int": 3.5,
        "word": "ab",
        "one": (2,),
        "three": (2, 2, 2),
        "zero": (2, 0),
        "bool": (True, 2),
        "float": (2, 1.5),
    },
    "inputs": one_int(1),
    "outputs": one_int(1),
    "rates": {
        "none": None,
        "word": "ab",
        "int": 3,
        "empty": (),
        "zero": (1, 0),
        "float": (1, 1.5),
        "bool": (True,),
    },
    "input": {
        "word": "ab",
        "none": None,
        "zero": 0,
        "negative": (5, -4),
        "float": 1.5,
        "bool": True,
        "three axes": (3, 3, 3),
        "nan": float("nan"),
        "traced": Traced(),
    },
    "photo": {
        "list": 3,
        "none": None,
        "word": "ab",
        "three axes": np.zeros((3, 3, 3)),
        "empty": np.zeros((0, 3)),
        "line": np.zeros(5),
    },
}
# Not wrong in this place.
FINE = {
    ("unfold", "kernel_size", "too long"),  # three axes without a batch
    ("conv_transpose_output_size", "kernel_size", "beyond the input"),
    ("cost transposed", "kernel_shape", "other channels"),
    ("accelerate", "fn", "none"),  # then it is a context manager
}


def of_options() -> Iterator[tuple[str, str, str, Any]]:
    for name, base in BASES.items():
        for argument in inspect.signature(base.call).parameters:
            key = f"{name.split()[0]} {argument}"
            table = OPTIONS.get(key, OPTIONS.get(argument))
            if table is None or (name, argument) in FIXED:
                continue
            for way, value in table.items():
                if (name, argument, way) not in FINE:
                    yield name, argument, way, value


WAYS: dict[str, dict[str, Any]] = {}
for _name, _argument, _way, _value in (*of_arrays(), *of_options()):
    WAYS.setdefault(f"{_name}: {_argument}", {})[_way] = _value


def call(name: str, argument: str, value: Any) -> Any:
    arguments = {**BASES[name].arguments, argument: value}
    given = [arguments.pop(v) for v in BY_PLACE.get(name, ())]
    return BASES[name].call(*given, **arguments)


def made(name: str, argument: str, value: Any) -> Any:
    """The call; a traced value is traced by jit."""
    tracers: list[jax.Array] = []

    def walk(v: Any, swap: Callable[[Traced], Any]) -> Any:
        if isinstance(v, Traced):
            return swap(v)
        if type(v) in (tuple, list):
            return type(v)(walk(entry, swap) for entry in v)
        return {k: walk(e, swap) for k, e in v.items()} if type(v) is dict else v

    walk(value, lambda v: tracers.append(v.value))
    if not tracers:
        return call(name, argument, value)

    def run(*found: Any) -> Any:
        rest = iter(found)
        return call(name, argument, walk(value, lambda _: next(rest)))

    return jax.eval_shape(run, *tracers)


@pytest.mark.parametrize("name", BASES)
def test_the_call_is_valid_before_anything_is_wrong(name: str) -> None:
    argument = next(iter(BASES[name].arguments), "theme")
    value = BASES[name].arguments.get(argument, "light")
    found: list[Any] = []
    jax.eval_shape(lambda: found.append(call(name, argument, value)))
    assert found[0] is not None


@pytest.mark.parametrize("case", WAYS)
def test_refused(case: str) -> None:
    """All ways in one test: pytest takes longer for one than jaxconv for an error."""
    name, argument = case.split(": ")
    wrong = {way: fault(name, argument, value) for way, value in WAYS[case].items()}
    found = [f"{way}: {text}" for way, text in wrong.items() if text]
    assert not found, "\n".join(found)


def fault(name: str, argument: str, value: Any) -> str:
    """What is wrong with the refusal; nothing if it is as it should be."""
    try:
        made(name, argument, value)
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error}"
        if type(error) not in (ValueError, TypeError):
            return f"another type of error, {text}"
        if not last.filename.startswith(HOME):
            return f"raised in {last.filename}:{last.lineno}, {text}"
        # Where sizes do not go together, it may name the other of the two.
        names = (argument, argument.removesuffix("_shape"))
        if type(error) is ValueError:
            names = (*names, *BASES[name].arguments)
        if not any(re.search(rf"\b{v}\b", str(error)) for v in names):
            return f"does not name the argument, {text}"
        if not MESSAGE.fullmatch(str(error)):
            return f"does not say the rule and the remedy, {text}"
        return ""
    except Exception as error:
        return f"another type of error, {type(error).__name__}: {error}"
    return f"accepted: {value!r}"


def test_there_are_many() -> None:
    assert sum(map(len, WAYS.values())) >= 500
