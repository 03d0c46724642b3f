"""A drop-in for ``jax.lax.conv_general_dilated``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType

from jaxconv._adopt.reading import Convolution, Move, Reading, read
from jaxconv._border import limits
from jaxconv._border.call import Options
from jaxconv._core.contract import contract
from jaxconv._core.intercept import plain
from jaxconv._core.spec import Shape


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
    out_sharding: Any = None,
) -> jax.Array:
    r"""`jax.lax.conv_general_dilated`, run by jaxconv's lowerings.

    .. math:: out[b, o, p] = \sum_{i,t,m} lhs[b, i, m] \, rhs[o, i, t]
        \quad\text{over}\quad p\,s + t\,d_r - lo = m\,d_l

    with window strides s, rhs and lhs dilations d_r and d_l and low padding lo on each
    spatial axis.  The same arguments, defaults, errors and values, whatever the
    dimension numbers: pass it where a layer takes a function for lax's, for example
    ``flax.nnx.Conv(..., conv_general_dilated=jaxconv.conv_general_dilated)``.

    The call is recognised as one of the three roles of a convolution.  A dilated lhs is
    a transposed convolution, a window as large as the image is a gradient with respect
    to a kernel, and batch groups are groups.  A lowering is chosen for that role, and
    so it is for its gradients.  Some calls are left to lax: those of no role (with lhs
    dilation, rhs dilation and window strides all above 1), those without elements, and
    those with symbolic spatial sizes, as in `jax.export`.

    Args:
      lhs: the images; (N, C, \*space) if ``dimension_numbers`` is None.
      rhs: the kernel; (O, C/groups, \*window) if ``dimension_numbers`` is None.
      window_strides: one int per spatial axis.
      padding: "SAME", "SAME_LOWER", "VALID", or (low, high) per axis, in elements of
        the dilated lhs; negative numbers crop.
      lhs_dilation: one int per axis: the distance between elements of lhs.
      rhs_dilation: one int per axis: the distance between elements of rhs.
      dimension_numbers: None, three strings such as ("NHWC", "HWIO", "NHWC"), or
        `jax.lax.ConvDimensionNumbers`.
      feature_group_count: groups of lhs's features.
      batch_group_count: groups of lhs's batch.
      precision: as for lax.
      preferred_element_type: the result's type.
      out_sharding: as for lax; a call that names one is left to lax.

    Returns:
      An array of the shape and type that lax gives.

    Raises:
      ValueError, TypeError: those of lax; also for sizes that no machine can hold.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x, kernel = jnp.ones((1, 8, 8, 6)), jnp.ones((3, 3, 1, 6))
      >>> numbers = ("NHWC", "HWIO", "NHWC")
      >>> jaxconv.conv_general_dilated(
      ...     x, kernel, (2, 2), "SAME", None, None, numbers, feature_group_count=6
      ... ).shape
      (1, 4, 4, 6)

    Elsewhere: `jaxconv.conv` and `jaxconv.conv_transpose` have PyTorch's arguments.
    lax's sums of float16 and bfloat16 may be taken in those types; here in float32.

    Source: XLA's operation semantics, Conv (convolution).
    """
    options: dict[str, Any] = dict(
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
        out_sharding=out_sharding,
    )
    params = _params(lhs, rhs, Options(options))
    limits.dilated(jax.typeof(lhs).shape, params)
    return convolve(lhs, rhs, **params)


def _params(lhs: Any, rhs: Any, options: Options[dict[str, Any]]) -> dict[str, Any]:
    """The parameters of lax's primitive, from arguments that lax checks."""
    key = (jax.typeof(lhs), jax.typeof(rhs), options)
    try:
        return _remembered(*key)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _traced(*key)


def _traced(lhs: Any, rhs: Any, options: Options[dict[str, Any]]) -> dict[str, Any]:
    with plain():
        trace = jax.make_jaxpr(partial(lax.conv_general_dilated, **options.values))
        eqns = trace(lhs, rhs).eqns
    (found,) = (eqn for eqn in eqns if eqn.primitive is lax.conv_general_dilated_p)
    return found.params


_remembered = lru_cache(maxsize=4096)(_traced)


def convolve(lhs: Any, rhs: Any, **params: Any) -> jax.Array:
    """Computes lax's primitive as a contraction if it is one, else by lax."""
    if _has_symbols_in_space(lhs, rhs, params):
        with plain():
            return lax.conv_general_dilated_p.bind(lhs, rhs, **params)
    wanted = params["out_sharding"] if _explicit(params["out_sharding"]) else None
    reading = _read(lhs.shape, rhs.shape, lhs.dtype, tuple(params.items()))
    if reading is None or (wanted is not None and _cuts_groups(lhs, rhs, reading)):
        with plain():
            return lax.conv_general_dilated_p.bind(lhs, rhs, **params)
    lhs = _forward(lhs, reading.moves["lhs"])
    rhs = _forward(rhs, reading.moves["rhs"])
    first, second = (rhs, lhs) if reading.swapped else (lhs, rhs)
    out = _backward(contract(first, second, reading.spec), reading.moves["out"])
    return out if wanted is None else jax.sharding.reshard(out, wanted)


def _has_symbols_in_space(lhs: Any, rhs: Any, params: dict[str, Any]) -> bool:
    """Whether a spatial size, or a padding that depends on one, is symbolic."""
    numbers = params["dimension_numbers"]
    sizes = [lhs.shape[axis] for axis in numbers.lhs_spec[2:]]
    sizes += [rhs.shape[axis] for axis in numbers.rhs_spec[2:]]
    pads = (pad for pair in params["padding"] for pad in pair)
    return any(type(size) is not int for size in (*sizes, *pads))


def _cuts_groups(lhs: Any, rhs: Any, reading: Reading) -> bool:
    """Whether the axis of groups and channels is sharded; no reshape can split it."""
    moves = ((lhs, reading.moves["lhs"]), (rhs, reading.moves["rhs"]))
    return any(_split_part(v, move) is not None for v, move in moves)


def _split_part(v: Any, move: Move) -> Any:
    """The mesh axes that shard the axis of groups and channels, if any."""
    pairs = enumerate(zip(move.lax, move.split, strict=False))
    at = next((n for n, (size, part) in pairs if size != part), None)
    if at is None or move.split[at] == 1:  # one group, or one channel in each
        return None
    return jax.typeof(v).sharding.spec[at]


def _explicit(sharding: Any) -> bool:
    """Whether a call names an explicit sharding (in `shard_map` all are manual)."""
    mesh = getattr(sharding, "mesh", None)
    if mesh is None:  # None, or a PartitionSpec
        return sharding is not None
    return AxisType.Explicit in mesh.axis_types


@lru_cache(maxsize=4096)
def _read(
    lhs: Shape, rhs: Shape, dtype: Any, params: tuple[tuple[str, Any], ...]
) -> Reading | None:
    named = dict(params)
    numbers = named["dimension_numbers"]
    conv = Convolution(
        lhs,
        rhs,
        (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec),
        named["lhs_dilation"],
        named["rhs_dilation"],
        named["window_strides"],
        named["padding"],
        named["feature_group_count"],
        named["batch_group_count"],
    )
    result = np.dtype(named["preferred_element_type"] or dtype)
    return read(conv, result, named["precision"])


def _forward(v: jax.Array, move: Move) -> jax.Array:
    """Converts an operand of lax to one of the contraction."""
    if move.merged != v.shape or not move.in_order:
        v = v.reshape(move.split).transpose(move.permutation).reshape(move.merged)
    return lax.rev(v, move.turned) if move.turned else v


def _backward(v: jax.Array, move: Move) -> jax.Array:
    """Converts the contraction's result to that of lax."""
    v = lax.rev(v, move.turned) if move.turned else v
    if move.lax == v.shape and move.in_order:
        return v
    permuted = [move.split[axis] for axis in move.permutation]
    v = v.reshape(permuted).transpose(np.argsort(move.permutation))
    return v.reshape(move.lax)
