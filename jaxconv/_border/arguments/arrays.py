"""Arrays and their types."""

from __future__ import annotations

from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxconv._border.arguments.forms import is_sequence
from jaxconv._core.errors import fail


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


def bias_shape(bias: jax.Array | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        rule = f"must have exactly shape ({channels},), one entry per output channel"
        remedy = f"Give it {channels} entries, or the kernel as many outputs"
        if bias.size == channels:
            remedy = f"Write bias.reshape({channels})"
        fail("bias.shape", bias.shape, rule, remedy)
