"""Evaluates a jaxpr with NumPy, a hundred times sooner than XLA compiles it.

So thousands of small cases can be looked at in seconds.  What is checked this way is
all that jaxconv does itself: its border, its rules of differentiation and batching, and
every operation that a lowering emits.  XLA's own part is checked on a share of cases.
An operation without an entry here is run by JAX.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax

import oracle
from jaxconv._deform import form as _form
from jaxconv._plan import emit
from jaxconv._plan.place import Place

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}
UNKNOWN: dict[str, int] = {}  # operations left to JAX, and how often


def evaluate(fn: Callable[..., Any], *args: Any) -> list[np.ndarray]:
    """The results of ``fn(*args)``, flat, with arrays as arguments."""
    closed = jax.make_jaxpr(fn)(*args)
    return _run(closed.jaxpr, closed.consts, [np.asarray(v) for v in args])


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[np.ndarray]:
    known: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        if hasattr(atom, "val"):
            return np.asarray(atom.val, atom.aval.dtype)
        return known[atom]

    known.update(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
    known.update(zip(jaxpr.invars, args, strict=True))
    for eqn in jaxpr.eqns:
        values = [read(atom) for atom in eqn.invars]
        found = _apply(eqn, values)
        for var, value in zip(eqn.outvars, found, strict=True):
            assert value.shape == var.aval.shape, (eqn.primitive, value.shape, var.aval)
            known[var] = value.astype(var.aval.dtype, copy=False)
    return [read(atom) for atom in jaxpr.outvars]


def _apply(eqn: Any, values: list[Any]) -> list[Any]:
    name, params = eqn.primitive.name, eqn.params
    inner = params.get("jaxpr", params.get("call_jaxpr"))
    if name == "scan":
        return _scan(eqn, values)
    if inner is not None and name in ("jit", "pjit", "closed_call", "remat2"):
        closed = hasattr(inner, "consts")
        return _run(*((inner.jaxpr, inner.consts) if closed else (inner, ())), values)
    if inner is not None and name in ("checkpoint", "remat", "custom_lin"):
        return _run(inner, (), values)
    if name == "cond":
        branch = params["branches"][
            min(max(int(values[0]), 0), len(params["branches"]) - 1)
        ]
        return _run(branch.jaxpr, branch.consts, values[1:])
    if name == "jaxconv_sample":
        shape = eqn.outvars[0].aval.shape
        run = partial(_form.run, form=params["form"], shape=shape, kind="cpu")
        return evaluate(run, *values)
    if name == "jaxconv_contract":
        run = partial(emit.run, spec=params["spec"], place=Place("cpu"))
        return evaluate(run, *values)
    if name not in RULES:
        UNKNOWN[name] = UNKNOWN.get(name, 0) + 1
        found = eqn.primitive.bind(*values, **params)
        found = found if eqn.primitive.multiple_results else [found]
        return [np.asarray(v) for v in found]
    with np.errstate(all="ignore"):
        found = RULES[name](*values, **params)
    several = eqn.primitive.multiple_results
    return [np.asarray(v) for v in (found if several else [found])]


def _scan(eqn: Any, values: list[Any]) -> list[Any]:
    """Versions of JAX say in different words what is carried: the ranks say it too."""
    params, jaxpr = eqn.params, eqn.params["jaxpr"]
    jaxpr, consts = getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())

    def same(outer: Any, inner: Any) -> int:
        pairs = zip(outer, inner, strict=True)
        return sum(a.aval.ndim == b.aval.ndim for a, b in pairs)

    carried = same(eqn.outvars, jaxpr.outvars)
    held = same(eqn.invars, jaxpr.invars) - carried
    fixed, carry = values[:held], values[held : held + carried]
    each = values[held + carried :]
    length, rows = params["length"], []
    order = range(length)[::-1] if params["reverse"] else range(length)
    for i in order:
        found = _run(jaxpr, consts, [*fixed, *carry, *(v[i] for v in each)])
        carry, row = found[:carried], found[carried:]
        rows.append(row)
    rows = rows[::-1] if params["reverse"] else rows
    shapes = [var.aval for var in jaxpr.outvars[carried:]]
    stacked = [
        np.stack([row[j] for row in rows])
        if rows
        else np.zeros((0, *aval.shape), aval.dtype)
        for j, aval in enumerate(shapes)
    ]
    return [*carry, *stacked]


# Element by element -------------------------------------------------------------------

for _name, _rule in {
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda a, b: a // b if np.issubdtype(a.dtype, np.integer) else a / b,
    "rem": np.fmod,
    "neg": np.negative,
    "max": np.maximum,
    "min": np.minimum,
    "conj": np.conj,
    "real": np.real,
    "imag": np.imag,
    "complex": lambda a, b: a + np.complex64(1j) * b if a.itemsize < 8 else a + 1j * b,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "not": np.invert,
    "floor": np.floor,
    "copy": np.array,
    "copy_p": np.array,
    "stop_gradient": np.array,
}.items():
    RULES[_name] = lambda *v, _rule=_rule, **_: _rule(*v)


RULES["optimization_barrier"] = lambda *v: list(v)


def rule(*names: str) -> Callable[[Rule], Rule]:
    def put(found: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, found))
        return found

    return put


@rule("convert_element_type")
def _convert(v: Any, *, new_dtype: Any, **_: Any) -> Any:
    if np.iscomplexobj(v) and not jax.dtypes.issubdtype(new_dtype, np.complexfloating):
        v = v.real
    return v.astype(new_dtype)


@rule("select_n")
def _select(which: Any, *cases: Any) -> Any:
    return np.choose(which.astype(int), cases) if len(cases) > 2 else np.where(
        which.astype(bool), cases[-1], cases[0]
    )  # fmt: skip


@rule("integer_pow")
def _integer_pow(v: Any, *, y: int) -> Any:
    return v**y


@rule("iota")
def _iota(*, dtype: Any, shape: Any, dimension: int, **_: Any) -> Any:
    along = [1] * len(shape)
    along[dimension] = shape[dimension]
    return np.broadcast_to(np.arange(shape[dimension]).reshape(along), shape)


@rule("reduce_sum")
def _sum(v: Any, *, axes: Any, **_: Any) -> Any:
    return v.astype(_wide(v.dtype)).sum(axis=tuple(axes))


def _wide(dtype: Any) -> Any:
    """Sums are taken in the widest type of the kind, as exactly as can be."""
    if np.issubdtype(dtype, np.integer):
        return np.int64
    return np.complex128 if np.issubdtype(dtype, np.complexfloating) else np.float64


# Moving -------------------------------------------------------------------------------


@rule("reshape")
def _reshape(v: Any, *, new_sizes: Any, dimensions: Any, **_: Any) -> Any:
    v = v if dimensions is None else v.transpose(dimensions)
    return v.reshape(new_sizes)


@rule("squeeze")
def _squeeze(v: Any, *, dimensions: Any) -> Any:
    return v.squeeze(tuple(dimensions))


@rule("transpose")
def _transpose(v: Any, *, permutation: Any) -> Any:
    return v.transpose(permutation)


@rule("rev")
def _rev(v: Any, *, dimensions: Any) -> Any:
    return np.flip(v, dimensions)


@rule("concatenate")
def _concatenate(*v: Any, dimension: int) -> Any:
    return np.concatenate(v, dimension)


@rule("split")
def _split(v: Any, *, sizes: Any, axis: int) -> Any:
    return np.split(v, np.cumsum(sizes)[:-1], axis)


@rule("stack")
def _stack(*v: Any, **params: Any) -> Any:
    return np.stack(v, **params)


@rule("unstack")
def _unstack(v: Any, *, axis: int, **_: Any) -> Any:
    return list(np.moveaxis(v, axis, 0))


@rule("broadcast_in_dim")
def _broadcast(v: Any, *, shape: Any, broadcast_dimensions: Any, **_: Any) -> Any:
    placed = [1] * len(shape)
    for size, axis in zip(v.shape, broadcast_dimensions, strict=True):
        placed[axis] = size
    return np.broadcast_to(v.reshape(placed), shape)


@rule("slice")
def _slice(v: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    steps = strides or (1,) * v.ndim
    return v[tuple(map(slice, start_indices, limit_indices, steps))]


@rule("pad")
def _pad(v: Any, value: Any, *, padding_config: Any) -> Any:
    for axis, (lo, hi, inside) in enumerate(padding_config):
        v = np.moveaxis(v, axis, 0)
        size = len(v)
        spread = np.full(
            (max(0, size + (size - 1) * inside), *v.shape[1:]), value, v.dtype
        )
        spread[:: inside + 1] = v
        ends = [np.full((max(0, n), *v.shape[1:]), value, v.dtype) for n in (lo, hi)]
        whole = np.concatenate([ends[0], spread, ends[1]])
        whole = whole[max(0, -lo) : len(whole) - max(0, -hi)]
        v = np.moveaxis(whole, 0, axis)
    return v


@rule("dynamic_slice")
def _dynamic_slice(v: Any, *starts: Any, slice_sizes: Any) -> Any:
    at = _clamped(starts, v.shape, slice_sizes)
    return v[tuple(slice(a, a + n) for a, n in zip(at, slice_sizes, strict=True))]


@rule("dynamic_update_slice")
def _dynamic_update_slice(v: Any, update: Any, *starts: Any) -> Any:
    at, out = _clamped(starts, v.shape, update.shape), v.copy()
    out[tuple(slice(a, a + n) for a, n in zip(at, update.shape, strict=True))] = update
    return out


def _clamped(starts: Sequence[Any], shape: Any, sizes: Any) -> list[int]:
    triples = zip(starts, shape, sizes, strict=True)
    return [min(max(int(a), 0), size - n) for a, size, n in triples]


@rule("gather")
def _gather(
    v: Any, indices: Any, *, dimension_numbers: Any, slice_sizes: Any, **_: Any
) -> Any:
    """In bounds only, which jaxconv promises; what is outside fails here."""
    n = dimension_numbers
    batch_shape = indices.shape[:-1]
    kept = [
        axis
        for axis in range(v.ndim)
        if axis not in n.collapsed_slice_dims and axis not in n.operand_batching_dims
    ]
    rank = len(batch_shape) + len(n.offset_dims)
    batch_axes = [axis for axis in range(rank) if axis not in n.offset_dims]
    out = np.zeros((*batch_shape, *(slice_sizes[axis] for axis in kept)), v.dtype)
    for place in np.ndindex(*batch_shape):
        start = [0] * v.ndim
        for k, axis in enumerate(n.start_index_map):
            start[axis] = int(indices[(*place, k)])
        for axis, other in zip(
            n.operand_batching_dims, n.start_indices_batching_dims, strict=True
        ):
            start[axis] = place[other]
        for a, size, most in zip(start, slice_sizes, v.shape, strict=True):
            assert 0 <= a <= most - size, "gathers out of bounds"
        index = tuple(
            slice(a, a + size) for a, size in zip(start, slice_sizes, strict=True)
        )
        out[place] = v[index].reshape(out.shape[len(batch_shape) :])
    return np.moveaxis(
        out, range(out.ndim), [*batch_axes, *n.offset_dims]
    )  # batch first, then offsets


@rule("scatter-add", "scatter_add")
def _scatter_add(
    v: Any, indices: Any, updates: Any, *, dimension_numbers: Any, **_: Any
) -> Any:
    """Updates out of bounds are dropped, as JAX does by default."""
    n = dimension_numbers
    out = v.astype(_wide(v.dtype))
    window = [
        axis
        for axis in range(v.ndim)
        if axis not in n.inserted_window_dims and axis not in n.operand_batching_dims
    ]
    scattered = [
        axis for axis in range(updates.ndim) if axis not in n.update_window_dims
    ]
    ordered = updates.transpose(*scattered, *n.update_window_dims)
    for place in np.ndindex(*indices.shape[:-1]):
        start = [0] * v.ndim
        for k, axis in enumerate(n.scatter_dims_to_operand_dims):
            start[axis] = int(indices[(*place, k)])
        for axis, other in zip(
            n.operand_batching_dims, n.scatter_indices_batching_dims, strict=True
        ):
            start[axis] = place[other]
        update = ordered[place]
        sizes = [1] * v.ndim
        for axis, size in zip(window, update.shape, strict=True):
            sizes[axis] = size
        if all(
            0 <= a <= most - size
            for a, size, most in zip(start, sizes, v.shape, strict=True)
        ):
            index = tuple(slice(a, a + k) for a, k in zip(start, sizes, strict=True))
            out[index] += update.reshape(sizes)
    return out


# Sums of products ---------------------------------------------------------------------


@rule("dot_general")
def _dot_general(a: Any, b: Any, *, dimension_numbers: Any, **_: Any) -> Any:
    (ca, cb), (ba, bb) = dimension_numbers
    letters = iter(string.ascii_letters)
    one, two = [""] * a.ndim, [""] * b.ndim
    for i, j in itertools.chain(zip(ba, bb, strict=True), zip(ca, cb, strict=True)):
        one[i] = two[j] = next(letters)
    free = [[i for i, v in enumerate(side) if not v] for side in (one, two)]
    for side, axes in zip((one, two), free, strict=True):
        for i in axes:
            side[i] = next(letters)
    out = [one[i] for i in ba]
    out += [one[i] for i in free[0]] + [two[i] for i in free[1]]
    return _einsum(f"{''.join(one)},{''.join(two)}->{''.join(out)}", a, b)


def _einsum(how: str, a: Any, b: Any) -> Any:
    wide = np.result_type(_wide(a.dtype), _wide(b.dtype))
    return np.einsum(how, a.astype(wide), b.astype(wide))


@rule("conv_general_dilated")
def _conv(
    lhs: Any,
    rhs: Any,
    *,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    **_: Any,
) -> Any:
    """By the loops, once the zeros between elements are in."""
    n, bg = dimension_numbers, batch_group_count
    x, w = lhs.transpose(n.lhs_spec), rhs.transpose(n.rhs_spec)
    config = [(0, 0, 0)] * 2 + [(0, 0, d - 1) for d in lhs_dilation]
    x = _pad(x, np.zeros((), x.dtype), padding_config=config)
    x = x.reshape(bg, len(x) // bg, *x.shape[1:])
    x = np.moveaxis(x, 0, 1).reshape(x.shape[1], bg * x.shape[2], *x.shape[3:])
    low, high = zip(*padding, strict=True) if padding else ((), ())
    sizes = x.shape[2:], w.shape[2:]
    output = map(oracle.windows, *sizes, window_strides, rhs_dilation, low, high)
    window = oracle.Window(*sizes, tuple(output), window_strides, rhs_dilation, low)
    wide = (v.astype(_wide(v.dtype)) for v in (x, w))
    y = oracle.contract("output", *wide, window, feature_group_count * bg)
    return y.transpose(np.argsort(n.out_spec))


@rule("fft")
def _fft(v: Any, *, fft_type: Any, fft_lengths: Any) -> Any:
    axes = tuple(range(-len(fft_lengths), 0))
    name = {"FFT": "fftn", "IFFT": "ifftn", "RFFT": "rfftn", "IRFFT": "irfftn"}
    kind = lax.FftType(fft_type).name if not isinstance(fft_type, str) else fft_type
    return getattr(np.fft, name[kind])(v, fft_lengths, axes)
