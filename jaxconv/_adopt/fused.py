"""A convolution and the elementwise operations after it, as one equation of a jaxpr.

``jaxconv_fused`` has a jaxpr of both as its parameter and computes it.  Its derivative,
batching and transpose are those of the jaxpr, without ``jaxconv_fused``.  So it remains
only in programs that run it forward, where the values between have no other use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

from jaxconv._adopt.fuse_finish import compute, finished
from jaxconv._core.primitive import emit
from jaxconv._plan.emit import PLATFORMS
from jaxconv._plan.place import Place

fused_p = Primitive("jaxconv_fused")


def composition(jaxpr: ClosedJaxpr) -> Callable[..., Any]:
    """The jaxpr as a function of its operands."""
    run = jaxpr_as_fun(jaxpr)
    return lambda *operands: run(*operands)[0]


@fused_p.def_abstract_eval
def _abstract_eval(*avals: Any, jaxpr: ClosedJaxpr, **_: Any) -> Any:
    return jaxpr.out_avals[0]


fused_p.def_impl(
    jax.jit(fused_p.bind, static_argnames=("jaxpr", "steps", "per_channel"))
)


def _of(
    places: Sequence[int], operands: Sequence[Any], jaxpr: ClosedJaxpr
) -> Callable[..., Any]:
    """The composition as a function of some of its operands."""

    def fn(*values: Any) -> Any:
        filled = list(operands)
        for n, value in zip(places, values, strict=True):
            filled[n] = value
        return composition(jaxpr)(*filled)

    return fn


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: ClosedJaxpr, **_: Any
) -> Any:
    moving = [n for n, t in enumerate(tangents) if type(t) is not ad.Zero]
    first, second = ([v[n] for n in moving] for v in (primals, tangents))
    return jax.jvp(_of(moving, primals, jaxpr), first, second)


ad.primitive_jvps[fused_p] = _jvp


def _transpose(
    cotangent: Any, *operands: Any, jaxpr: ClosedJaxpr, **_: Any
) -> list[Any]:
    """The transpose, if the jaxpr is linear in its undefined operands."""
    unknown = [n for n, v in enumerate(operands) if ad.is_undefined_primal(v)]
    of_unknown = _of(unknown, operands, jaxpr)
    pull = jax.linear_transpose(of_unknown, *(operands[n].aval for n in unknown))
    found = dict(zip(unknown, pull(cotangent), strict=True))
    return [found.get(n) for n in range(len(operands))]


ad.primitive_transposes[fused_p] = _transpose


def _batch(
    args: Sequence[Any], dims: Sequence[Any], *, jaxpr: ClosedJaxpr, **_: Any
) -> Any:
    return jax.vmap(composition(jaxpr), tuple(dims))(*args), 0


batching.primitive_batchers[fused_p] = _batch


def _rule(
    ctx: Any,
    *operands: Any,
    jaxpr: ClosedJaxpr,
    steps: tuple[str, ...],
    per_channel: tuple[int, ...],
    platform: str,
) -> Any:
    """Computes all in the convolution's pass where its lowering can, else in one more.

    Vectors of channels are computed separately on a CPU, before the large loop.  XLA
    would compute them again in each iteration, with their reciprocal square roots.
    """
    place = Place.of(ctx, platform)
    apart = platform == "cpu" and not place.partitioned
    found = finished(jaxpr, place) if apart else None
    inner = composition(jaxpr) if found is None else compute(found, jaxpr, place)

    def fun(*values: Any) -> Any:
        held = list(values)
        if apart and per_channel:
            vectors = lax.optimization_barrier([values[n] for n in per_channel])
            for n, vector in zip(per_channel, vectors, strict=True):
                held[n] = vector
        return inner(*held)

    if found is None:
        return mlir.lower_fun(fun, multiple_results=False)(ctx, *operands)
    return emit(ctx, fun, *operands)


mlir.register_lowering(fused_p, partial(_rule, platform="default"))
for _platform in PLATFORMS:
    mlir.register_lowering(
        fused_p, partial(_rule, platform=_platform), platform=_platform
    )
