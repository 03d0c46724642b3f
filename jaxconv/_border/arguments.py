"""Converts every accepted form of an argument into one canonical form.

Wrong arguments are refused here.  A message names the argument and its value, states
the rule, and says what to write instead.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._border import hints
from jaxconv._core import geometry as geo
from jaxconv._core.errors import choice, fail, shown
from jaxconv._core.geometry import Ints
from jaxconv._core.spec import Layout

Pairs = tuple[tuple[int, int], ...]
IntLike = int | Sequence[int]
PaddingLike = str | int | Sequence[int] | Sequence[Sequence[int]]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
LAYOUTS = ("channels_first", "channels_last")
PLATFORMS = ("cpu", "gpu", "cuda", "rocm", "tpu")


def function(name: str, value: Any) -> Any:
    if not callable(value):
        fail(name, value, "is not callable", "Write a function of arrays", TypeError)
    return value


def platform(value: Any) -> str | None:
    """A platform's name, where a GPU has several; None means JAX's default."""
    return None if value is None else choice("platform", value, PLATFORMS)


def layout(value: Any) -> Layout:
    return choice("layout", value, LAYOUTS)


# Integers -----------------------------------------------------------------------------


def integer(name: str, value: Any, least: int, whole: Any = None) -> int:
    """An int of at least ``least``.

    If it is an entry of a sequence, ``whole`` is that sequence, shown in an error.
    """
    got, part = (value, "") if whole is None else (whole, f"{shown(value)} ")
    if isinstance(value, bool | np.bool_):
        fail(name, got, f"{part}is a bool", "Write an int", TypeError)
    try:
        number = operator.index(value)
    except jax.errors.JAXTypeError:
        rule = f"{part}is traced, but sizes must be known"
        fail(name, got, rule, "Write an int", TypeError)
    except TypeError:
        fail(name, got, f"{part}is not an int", "Write an int", TypeError)
    if number < least:
        fail(name, got, f"{part}must be at least {least}", f"Write an int >= {least}")
    return number


def is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def ints(name: str, value: Any, ndim: int, least: int) -> Ints:
    """One int per spatial axis, from such a sequence or from one int for all axes."""
    if not is_sequence(value):
        return (integer(name, value, least),) * ndim
    entries = tuple(integer(name, entry, least, value) for entry in value)
    if len(entries) != ndim:
        _wrong_length(name, value, ndim)
    return entries


def known(name: str, shape: Ints, space: Ints) -> None:
    """Refuses symbolic sizes where numbers are needed."""
    sizes_known: list[Any] = [*space]
    if not all(isinstance(size, int | np.integer) for size in sizes_known):
        sizes = ", ".join(map(str, space))
        rule = f"has the symbolic sizes ({sizes}), which have to be numbers here"
        remedy = (
            "Export with numbers; only conv and conv_transpose take symbols in space"
        )
        fail(name, shape, rule, remedy)


def _wrong_length(name: str, value: Any, ndim: int, extra: str = "") -> NoReturn:
    axes = "1 spatial axis" if ndim == 1 else f"{ndim} spatial axes"
    fail(
        name,
        value,
        f"has length {len(value)}, but there {'is' if ndim == 1 else 'are'} {axes}",
        f"Write an int for all axes or a tuple of {ndim}{extra}",
    )


# Padding ------------------------------------------------------------------------------


def padding(value: Any, i: Ints | None, k: Ints, s: Ints, d: Ints) -> Pairs:
    """The low and high padding of each axis.

    ``i``, the convolution's input size, is None for a transposed convolution, whose
    caller handles the words that depend on it.
    """
    if isinstance(value, str):
        return _padding_word(value, i, k, s, d)
    pair = f", or {len(k)} (low, high) pairs"
    if not is_sequence(value):
        return tuple((p, p) for p in ints("padding", value, len(k), 0))
    if not any(is_sequence(entry) for entry in value):
        if len(value) != len(k):
            _wrong_length("padding", value, len(k), pair)
        return tuple((p, p) for p in ints("padding", value, len(k), 0))
    if len(value) != len(k):
        _wrong_length("padding", value, len(k), pair)
    return tuple(_pair(value, entry) for entry in value)


def _pair(value: Any, entry: Any) -> tuple[int, int]:
    if not is_sequence(entry) or len(entry) != 2:
        rule = f"mixes forms: {entry!r} is not a (low, high) pair"
        fail(
            "padding",
            value,
            rule,
            "Write a pair for every axis, or an int for every axis",
        )
    lo, hi = (integer("padding", p, 0, value) for p in entry)
    return lo, hi


def _padding_word(word: str, i: Ints | None, k: Ints, s: Ints, d: Ints) -> Pairs:
    words = ("valid", "same", "VALID", "SAME", "SAME_LOWER", "causal")
    if word not in words:
        hints.padding_word(word)
    choice("padding", word, words)
    spans = [geo.span(*axis) for axis in zip(k, d, strict=True)]
    if word in ("valid", "VALID"):
        return ((0, 0),) * len(k)
    if word == "causal":
        if len(k) != 1:
            rule = f"is for one spatial axis (time), and there are {len(k)}"
            fail("padding", word, rule, "Write a (low, high) pair for every axis")
        return ((spans[0] - 1, 0),)
    if word == "same":
        if set(s) != {1}:
            rule = f"keeps the size only at stride 1, and stride={s}"
            fail("padding", word, rule, 'Write "SAME" for ceil(input/stride) outputs')
        return tuple(((n - 1) // 2, n // 2) for n in spans)
    assert i is not None
    totals = [geo.same_padding(*axis) for axis in zip(i, k, s, d, strict=True)]
    if word == "SAME":
        return tuple((t // 2, t - t // 2) for t in totals)
    return tuple((t - t // 2, t // 2) for t in totals)


def padding_fits_mode(mode: str, pads: Pairs, i: Ints) -> None:
    """PyTorch's limits: below the input's size for reflect, up to it for circular."""
    limits = {"reflect": [size - 1 for size in i], "circular": list(i)}
    for axis, limit in enumerate(limits.get(mode, ())):
        if max(pads[axis]) > limit:
            fail(
                "padding",
                pads[axis],
                f'padding_mode="{mode}" can fill at most {limit} on spatial axis '
                f"{axis}, whose size is {i[axis]}",
                'Pad less, or use padding_mode="zeros" or "replicate"',
            )


# Arrays -------------------------------------------------------------------------------


def array(name: str, value: Any, *, bools: bool = False) -> jax.Array:
    """An array of numbers; ``bools`` admits bools too, for moves without sums."""
    if not isinstance(value, jax.Array):
        _refuse_foreign(name, value)
    dtype = value.dtype
    if not (jnp.issubdtype(dtype, jnp.number) or (bools and dtype == np.bool_)):
        kind = getattr(dtype, "name", dtype)
        remedy = f"Convert it, for example {name}.astype(jax.numpy.float32)"
        raise TypeError(f"{name} is an array of {kind}, not of numbers. {remedy}.")
    return value if isinstance(value, jax.Array) else jnp.asarray(value)


FOREIGN = {  # tensors of other libraries, by top-level module, and their conversion
    "torch": "jax.numpy.asarray({}.detach().cpu().numpy())",
    "tensorflow": "jax.numpy.asarray({}.numpy())",
    "mlx": "jax.numpy.asarray(numpy.array({}))",
    "cupy": "jax.dlpack.from_dlpack({})",
}


def _refuse_foreign(name: str, value: Any) -> None:
    kind = type(value)
    for parent in kind.__mro__:
        library = parent.__module__.partition(".")[0]
        if library in FOREIGN:
            written = FOREIGN[library].format(name)
            rule = f"{name} is a {library}.{kind.__name__}, not an array of JAX"
            raise TypeError(f"{rule}. Write {written}.")
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        not_an_array(name, value)


def not_an_array(name: str, value: Any, what: str = "not an array") -> NoReturn:
    remedy = f"Write jax.numpy.asarray({name})"
    if name == "bias" and isinstance(value, int | str | tuple):
        option = "padding" if isinstance(value, str) else "stride"
        remedy = f"Options go by name, for example {option}={value!r}"
    raise TypeError(f"{name} is {a_kind(value)}, {what}. {remedy}.")


def a_kind(value: Any) -> str:
    """The name of a value's type with its article; "None" for None."""
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def same_dtype(**arrays: jax.Array | None) -> None:
    (first, one), *rest = [(k, v) for k, v in arrays.items() if v is not None]
    for name, other in rest:
        if other.dtype != one.dtype:
            with jax.numpy_dtype_promotion("standard"):  # strict raises instead
                wide = jnp.promote_types(one.dtype, other.dtype)
            change, keep = (first, name) if wide == other.dtype else (name, first)
            remedy = f"Convert one, for example {change}.astype({keep}.dtype)"
            if wide not in (one.dtype, other.dtype):
                remedy = f"Convert both, for example with .astype(jax.numpy.{wide})"
            raise TypeError(
                f"{first} is {one.dtype.name} and {name} is {other.dtype.name}: "
                f"operands must agree. {remedy}."
            )


def as_dtype(name: str, value: Any) -> np.dtype:
    try:
        return np.dtype(value)
    except TypeError:
        fail(name, value, "is not a dtype", "Write e.g. jax.numpy.float32", TypeError)


def result_dtype(dtype: Any, preferred: Any) -> np.dtype:
    """The result's type: the operands' own, but integers have at least 32 bits.

    Short integers would wrap.  ``preferred`` is the user's choice, or None.
    """
    dtype = np.dtype(dtype)
    if preferred is None:
        if jnp.issubdtype(dtype, jnp.integer) and dtype.itemsize < 4:
            unsigned = jnp.issubdtype(dtype, jnp.unsignedinteger)
            return np.dtype(np.uint32 if unsigned else np.int32)
        return dtype
    name = "preferred_element_type"
    wanted = as_dtype(name, preferred)
    if not _holds(wanted, dtype):
        rule = f"cannot hold sums of {dtype.name}"
        fail(
            name, wanted.name, rule, "Write a type of the same kind, as wide", TypeError
        )
    canonical = jax.dtypes.canonicalize_dtype(wanted)
    if canonical != wanted:
        rule = "64-bit types are switched off"
        fail(name, wanted.name, rule, 'Set jax.config.update("jax_enable_x64", True)')
    return wanted


def _holds(wanted: np.dtype, dtype: np.dtype) -> bool:
    """Whether no sum of products of ``dtype`` loses its kind or its digits."""
    if jnp.issubdtype(dtype, jnp.integer):
        if jnp.issubdtype(wanted, jnp.integer):
            return wanted.itemsize >= 4 and np.can_cast(dtype, wanted)
        return jnp.issubdtype(wanted, jnp.inexact)
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.issubdtype(wanted, jnp.complexfloating) and np.can_cast(
            dtype, wanted
        )
    if not jnp.issubdtype(wanted, jnp.inexact):
        return False
    bits, least = jnp.finfo(wanted).bits, jnp.finfo(dtype).bits
    same = wanted == dtype or jnp.issubdtype(wanted, jnp.complexfloating)
    return bits >= least if same else bits > least


def precision(value: Any) -> Any:
    """None, one lax.Precision, or a pair of them."""
    if value is None:
        return None
    if is_sequence(value):
        if len(value) != 2:
            fail("precision", value, "is not a pair", "Write one precision, or two")
        if any(is_sequence(entry) for entry in value):
            fail("precision", value, "is nested", "Write one precision, or two")
        return tuple(_one_precision(value, entry) for entry in value)
    return _one_precision(value, value)


def _one_precision(value: Any, entry: Any) -> lax.Precision:
    try:
        return lax.Precision(entry)
    except (ValueError, TypeError):
        known = '"default", "high", "highest" or a jax.lax.Precision'
        fail("precision", value, "is not a precision", f"Write {known}")


# Shapes -------------------------------------------------------------------------------


def shape(name: str, value: Any) -> Ints:
    """A shape that is itself an argument."""
    if hasattr(value, "shape") and np.ndim(value) != 1:
        fail(name, value, "is an array, not a shape", "Write its .shape", TypeError)
    if not is_sequence(value):
        fail(name, value, "is not a shape", "Write a tuple of ints", TypeError)
    return tuple(integer(name, size, 0, value) for size in value)


def specs(args: Sequence[Any]) -> tuple[Any, ...]:
    """Arguments of a function to trace; a tuple of ints means a float32 shape."""
    return tuple(_spec(v) if type(v) is tuple else v for v in args)


def _spec(value: tuple[Any, ...]) -> Any:
    if len(value) < 2 or any(type(size) is not int or size < 0 for size in value):
        return value
    return jax.ShapeDtypeStruct(value, np.float32)


def spatial_rank(kernel: Sequence[int], name: str = "kernel.shape") -> int:
    """The number of spatial axes of a kernel, from its shape."""
    if len(kernel) < 3:
        rule = f"has {len(kernel)} axes, but two are for channels, the others for space"
        remedy = "Add the missing axes"
        if name == "kernel.shape" and len(kernel) > 0:
            remedy += ", for one channel in and out kernel[None, None], or with layout="
            remedy += '"channels_last" kernel[..., None, None]'
        fail(name, tuple(kernel), rule, remedy)
    return len(kernel) - 2


def has_batch(x: Sequence[int], ndim: int, name: str = "x.shape") -> bool:
    if len(x) not in (ndim + 1, ndim + 2):
        rule = f"has {len(x)} axes, but the kernel has {ndim} for space"
        remedy = f"Give {ndim + 2} axes, or {ndim + 1} without the batch axis"
        if len(x) == ndim and name == "x.shape":
            remedy += ": x[None] is one channel, channels last x[..., None]"
        if len(x) > ndim + 2:
            axes = len(x) - 2
            remedy += f"; a kernel for {axes} axes of space has {len(x)} axes itself"
        fail(name, tuple(x), rule, remedy)
    return len(x) == ndim + 2


def bias_shape(bias: jax.Array | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        rule = f"must have exactly shape ({channels},), one entry per output channel"
        remedy = f"Give it {channels} entries, or the kernel as many outputs"
        if bias.size == channels:
            remedy = f"Write bias.reshape({channels})"
        fail("bias.shape", bias.shape, rule, remedy)


def space_not_empty(space: Sequence[int], rest: Sequence[int], shape: Any) -> None:
    """Refuses empty spatial axes, unless batch or channels are empty (as PyTorch)."""
    name, x = shape
    if 0 in space and 0 not in rest:
        rule = "has a spatial axis of size zero; only batch and channels may be empty"
        fail(name, tuple(x), rule, "Leave the call out for empty input")


def window_not_empty(
    window: Sequence[int], kernel: Sequence[int], name: str = "kernel.shape"
) -> None:
    if 0 in window:
        rule = f"the window {tuple(window)} has an axis of size zero"
        fail(name, tuple(kernel), rule, "Give every axis at least one weight")


def groups_divide(side: str, channels: int, groups: int, kernel: Sequence[int]) -> None:
    if channels == 0:
        rule = f"has no {side} channels"
        fail("kernel.shape", tuple(kernel), rule, "Give at least one per group")
    if channels % groups:
        rule = f"does not divide the kernel's {channels} {side} channels"
        fail("groups", groups, rule, f"Choose groups that divide {channels}")


def kernel_fits(i: Ints, k: Ints, d: Ints, pads: Pairs, name: str) -> None:
    for axis, (size, taps, rate, (lo, hi)) in enumerate(
        zip(i, k, d, pads, strict=True)
    ):
        if geo.span(taps, rate) > size + lo + hi:
            fail(
                name,
                k,
                f"spans {geo.span(taps, rate)} on spatial axis {axis} (dilation {rate})"
                f", more than the padded input's {size + lo + hi}",
                "Use a smaller kernel or dilation, or pad more",
            )
