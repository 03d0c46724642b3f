"""For each operation of JAX, the rule for what its results depend on.

A rule takes an equation and the `Seen` of each operand, and returns the `Seen` of the
results: one for all of them, or a list.  Operations that are not in the table are
unknown.
"""

from __future__ import annotations

from collections.abc import Callable

from jaxconv._inspect.summary import arrange as _arrange
from jaxconv._inspect.summary import pick as _pick
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary import sums as _sums
from jaxconv._inspect.summary.seen import NOTHING, Equation, Seen

Rule = Callable[..., Seen | list[Seen]]

ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e
    bitcast_convert_type cbrt ceil clamp clz complex conj convert_element_type copy
    copy_p cos cosh device_put digamma div eq eq_to erf erf_inv erfc exp exp2 expm1
    floor ge gt igamma igamma_grad_a igammac imag integer_pow is_finite
    layout_constraint le le_to lgamma log log1p logistic lt lt_to max min mul mulhi
    name ne neg nextafter not or pbroadcast polygamma population_count pow pvary
    random_clone real reduce_precision reduced_vary_cast_p
    regularized_incomplete_beta rem reshard round rsqrt select_n sharding_constraint
    shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square
    stop_gradient sub tan tanh tie xor zeta
    """.split()
)
# Results that depend on no operand (SOURCES) or on all elements of all (MIXING).
SOURCES = frozenset({"iota", "empty", "create_token", "axis_index", "zeros_like"})
MIXING = frozenset(
    """
    random_bits random_fold_in random_seed random_split random_unwrap random_wrap
    random_gamma rng_bit_generator rng_uniform threefry2x32
    """.split()
)

REDUCTIONS = frozenset(
    """
    reduce reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor
    argmax argmin
    """.split()
)
CUMULATIVE = frozenset("cumsum cumprod cummax cummin cumlogsumexp".split())
WINDOWS = frozenset(f"reduce_window{kind}" for kind in ("", "_sum", "_max", "_min"))


def elementwise(eq: Equation, *operands: Seen) -> Seen:
    """The union of the operands, whose axes of size one are broadcast."""
    (after, *_), stretched = eq.outputs, list[Seen]()
    for operand, x in enumerate(operands):
        for axis, size in enumerate(eq.inputs[operand]):
            if size != after[axis]:
                x = _seen.taken(eq, x, axis, 0, operand)
        stretched.append(x)
    return _seen.union(stretched, eq.of(after))


def separate(eq: Equation, *operands: Seen) -> list[Seen]:
    """Each result depends on its own operand."""
    return list(operands)


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, elementwise),
    **dict.fromkeys(SOURCES, lambda eq, *x: NOTHING),
    **dict.fromkeys(MIXING, lambda eq, *x: _seen.everything(x)),
    **dict.fromkeys(REDUCTIONS, _sums.reduction),
    **dict.fromkeys(CUMULATIVE, _sums.cumulative),
    **dict.fromkeys(WINDOWS, _sums.reduce_window),
    "optimization_barrier": separate,
    "transpose": _arrange.transpose,
    "broadcast_in_dim": _arrange.broadcast_in_dim,
    "squeeze": _arrange.squeeze,
    "reshape": _arrange.reshape,
    "slice": _arrange.slice_,
    "split": _arrange.split,
    "unstack": _arrange.unstack,
    "pad": _arrange.pad,
    "rev": _arrange.rev,
    "tile": _arrange.tile,
    "concatenate": _arrange.concatenate,
    "stack": _arrange.stack,
    "dynamic_slice": _pick.dynamic_slice,
    "dynamic_update_slice": _pick.dynamic_update_slice,
    "gather": _pick.gather,
    "select_and_scatter_add": _sums.select_and_scatter_add,
    "sort": _sums.sort,
    "top_k": _sums.top_k,
    "fft": _sums.fft,
    "dot_general": _sums.dot_general,
}  # fmt: skip
