"""`summarize`: traces a function, interprets its jaxpr, and returns a `Summary`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._core.calls import inner
from jaxconv._inspect.summary import names
from jaxconv._inspect.summary import views as _views
from jaxconv._inspect.summary.collect import collect
from jaxconv._inspect.summary.found import Value
from jaxconv._inspect.summary.names import Path
from jaxconv._inspect.summary.parameters import Source, is_parameter
from jaxconv._inspect.summary.report import Summary
from jaxconv._inspect.summary.walk import Walk, known
from jaxconv._plan.place import Place


def summarize(
    fn: Callable[..., Any], *args: Any, platform: str | None = None, **kwargs: Any
) -> Summary:
    r"""Lists every convolution of a function, with its work and its receptive field.

    .. math:: \mathit{size} = 1 + \sum_l d_l (k_l - 1) \prod_{m<l} s_m

    along each path, and the union of these intervals where paths meet.  The function
    can be anything that JAX can trace: a model of Flax, Equinox, Haiku or Keras, or a
    gradient.  Convolutions of jaxconv and of lax are found, also inside jit, scan,
    cond, checkpoint, shard_map and custom derivatives.  Matrix products and all other
    parameters are listed too.  A layer's name is the path of its parameters in the
    model.  Nothing is computed.

    There are two counts of multiply-adds: ``multiply_adds`` includes those on padding;
    ``multiply_adds_valid`` excludes them, and those on inserted zeros.  A transposed
    convolution is counted by its inputs, a grouped one by its groups.  ``bytes`` are
    those of both operands and the result, each moved once.

    The receptive field follows the graph: convolutions, pooling, strided slices, pads,
    reshapes, resizing, concatenation, attention.  It is the smallest interval around
    all elements that a unit may depend on, padding included.  A stride of 0 means that
    all units depend on the same elements, such as the whole image after a global mean.
    After a transposed convolution the stride is a mean, possibly a fraction.  An
    operation that cannot be followed, such as a gather with computed indices, makes the
    field None, and its name is reported.

    Args:
      fn: the function.
      args: arrays, or `jax.ShapeDtypeStruct`, or trees of them; a tuple of ints, such
        as (1, 3, 224, 224), is the shape of a float32 array.  Leaves that are neither
        arrays nor numbers are passed on to fn.
      platform: the platform of the reported lowerings: "cpu", "gpu", "cuda", "rocm" or
        "tpu"; by default JAX's own default.
      kwargs: static options, passed on to fn.

    Returns:
      A `Summary`: ``print`` it for a table, or use ``layers``, ``products``,
      ``totals``, ``results``, ``to_json()`` and ``plot()``.  Sizes are in elements,
      memory in bytes.

    Raises:
      Whatever tracing ``fn`` raises.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> x = jax.ShapeDtypeStruct((1, 3, 32, 32), jnp.float32)
      >>> kernel = jax.ShapeDtypeStruct((16, 3, 7, 7), jnp.float32)
      >>> summary = jaxconv.summarize(jaxconv.conv, x, kernel, stride=2, padding=3)
      >>> summary.totals.multiply_adds, summary.layers[0].receptive_field["x"][0]
      (602112, ReceptiveField(size=7, stride=2, start=-3))

    Elsewhere: Flax and Keras have tables without work and receptive fields; XLA's
    analysis counts valid taps only; PyTorch's counters disagree with each other on
    transposed and grouped convolutions.

    Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural
    networks", Distill 2019.
    """
    can.function("fn", fn)
    args = can.specs(args)
    leaves, tree = jax.tree_util.tree_flatten_with_path(args)
    traced = [i for i, (_, leaf) in enumerate(leaves) if _is_traceable(leaf)]

    def call(*arrays: Any) -> Any:
        filled = [leaf for _, leaf in leaves]
        for i, value in zip(traced, arrays, strict=True):
            filled[i] = value
        found = partial(fn, **kwargs)(*jax.tree_util.tree_unflatten(tree, filled))
        return [v for v in jax.tree_util.tree_leaves(found) if _is_traceable(v)]

    where = Place.here(can.platform(platform)).platform
    closed = jax.make_jaxpr(call)(*(leaves[i][1] for i in traced))
    words = _names(fn, len(args))
    sources: list[Source] = []
    for i, var in zip(traced, closed.jaxpr.invars, strict=True):
        (first, *rest), _ = leaves[i]
        name = words[first.idx] + jax.tree_util.keystr(tuple(rest))
        sources.append(Source(name, first.idx, var.aval, names.path_of(rest)))
    return _summary(closed, sources, where, names.held(fn))


def _is_traceable(leaf: Any) -> bool:
    arrayed = hasattr(leaf, "shape") and hasattr(leaf, "dtype")
    return arrayed or isinstance(leaf, int | float | complex | np.generic)


def _names(fn: Callable[..., Any], count: int) -> list[str]:
    """The names of the function's positional arguments, from its signature."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    plain = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return [plain[i] if i < len(plain) else f"args[{i}]" for i in range(count)]


def _summary(
    closed: Any, sources: list[Source], platform: str, arrays: list[tuple[Path, Any]]
) -> Summary:
    """The summary of a jaxpr.

    Its constants are inputs with known values; those that are arrays of the model have
    their paths in it.
    """
    paths = {id(array): path for path, array in arrays}
    outer = [*closed.consts]
    deeper = [c for c in _inner_consts(closed.jaxpr) if id(c) in paths]
    consts = list({id(c): c for c in (*outer, *deeper)}.values())
    held = [Source("", -1, jax.typeof(c), paths.pop(id(c), ())) for c in consts]
    unused = sum(a.size for _, a in arrays if id(a) in paths and is_parameter(a))
    walk = Walk(platform, [tuple(s.aval.shape) for s in (*sources, *held)])
    args = [value(i, source) for i, source in enumerate(sources)]
    numbered = enumerate(zip(held, consts, strict=True), start=len(sources))
    walk.held = {
        id(c): replace(value(i, source), known=known(c)) for i, (source, c) in numbered
    }
    results = walk.run(closed, args)
    return collect(walk, results, [*sources, *held], unused)


def _inner_consts(jaxpr: Any) -> Iterator[Any]:
    """The constants of all jaxprs inside this one."""
    for eqn in jaxpr.eqns:
        for child in inner(eqn.params):
            yield from getattr(child, "consts", ())
            yield from _inner_consts(getattr(child, "jaxpr", child))


def value(number: int, source: Source) -> Value:
    """An input, each element of which depends on itself."""
    shape = tuple(source.aval.shape)
    views = tuple(_views.identity(size, axis) for axis, size in enumerate(shape))
    return Value(shape, {number: views}, leaf=number)
