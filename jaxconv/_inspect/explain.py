"""Describes a function's convolutions, and which lowering runs each, as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxconv._border import arguments as can
from jaxconv._core.geometry import Axis
from jaxconv._core.spec import Case, Role
from jaxconv._inspect.walk import Found, contractions
from jaxconv._plan.choose import Choice, chain, made_for_others, scratch, spreads
from jaxconv._plan.names import admissible
from jaxconv._plan.place import Place

_TITLES: dict[Role, str] = {
    "output": "convolution: x, kernel -> y",
    "input": "transposed convolution (gradient for x): y, kernel -> x",
    "kernel": "gradient for the kernel: x, y -> kernel",
}

_AVOID = "implementation='direct' avoids it"


def explain(
    fn: Callable[..., Any], *args: Any, platform: str | None = None, **kwargs: Any
) -> str:
    r"""Describes every convolution of a function, and which lowering computes it.

    .. math:: \mathit{flops} = 2 \, N \, g \, c \, o \, \prod k \prod \mathrm{positions}

    All contractions that ``fn(*args, **kwargs)`` would run are listed in order, those
    of gradients included: their sizes, the size formula with numbers, their work and
    memory, the lowering that is chosen and why, where NaN and infinity spread further
    than in direct convolution, and which other lowerings could run.  Nothing is
    computed.

    Args:
      fn: any traceable function: `jaxconv.conv` itself, a model, a gradient.
      args: arrays, or `jax.ShapeDtypeStruct`, or trees of them; a tuple of ints is the
        shape of a float32 array.
      platform: "cpu", "gpu", "cuda", "rocm" or "tpu"; by default JAX's own default.
      kwargs: static options, passed on to fn.

    Returns:
      A text of several lines.  Sizes are in elements, memory in bytes.

    Raises:
      ValueError, TypeError: fn is not callable, platform is not one of the names above,
        or whatever tracing ``fn`` raises.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> x, kernel = jnp.zeros((1, 3, 8, 8)), jnp.zeros((4, 3, 3, 3))
      >>> text = jaxconv.explain(jaxconv.conv, x, kernel, stride=2, padding=1)
      >>> print(text.splitlines()[0])
      1. convolution: x, kernel -> y

    Elsewhere: `jax.make_jaxpr` shows the operations and `compiled.as_text()` what XLA
    compiled them to; neither gives reasons.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 6, 14 and 15.
    """
    where = Place.here(can.platform(platform))
    found = contractions(can.function("fn", fn), *can.specs(args), **kwargs)
    if not found:
        return "no jaxconv convolutions found in this function"
    return "\n".join(_describe(i, f, where) for i, f in enumerate(found, start=1))


def _describe(index: int, found: Found, place: Place) -> str:
    case = found.case
    (_, choice), *inner = chain(case, place)
    spec = case.spec
    names = [f"{n} {s}" for n, s in zip(spec.operands, found.shapes, strict=True)]
    others = made_for_others(place.platform)
    more = [name for name in admissible(case) if name not in others]
    result = spec.shape(spec.role, case.sizes)
    lines = [
        f"{' and '.join(names)} in {case.dtype.name}"
        f" give {spec.role} {result} in {spec.dtype.name}",
        _sizes(case),
        *(_axis(i, axis) for i, axis in enumerate(case.geometry.axes)),
        f"it takes {case.multiply_adds:,} multiply-adds "
        f"({2 * case.multiply_adds:,} floating-point operations) on "
        f"{case.operand_bytes:,} bytes of operands and result",
        f"on {place.platform} by the lowering {choice.lowering.name!r}: "
        f"{choice.lowering.summary}",
        *_reason(choice, place),
        *(_inside(case, choice) for case, choice in inner),
        f"it needs at most {scratch(choice.lowering, case, place):,} bytes beside them",
        f"could also run: {', '.join(more) or 'nothing else'}",
    ]
    further = spreads(choice.lowering, case, place)
    on_cpu = place.platform == "cpu"
    if further is not None and (on_cpu or choice.lowering.name != "xla"):
        lines.insert(-1, f"NaN and infinity spread {further}; {_AVOID}")
    if found.steps:
        lines.append(f"followed, in the same pass, by: {', '.join(found.steps)}")
    if found.times > 1:
        lines.append(f"it runs {found.times} times")
    return "\n".join([f"{index}. {_TITLES[spec.role]}", *(f"   {x}" for x in lines)])


def _reason(choice: Choice, place: Place) -> list[str]:
    """The rule, and what was measured for it on a CPU."""
    rule, _, evidence = choice.reason.partition(": ")
    if not evidence or place.platform != "cpu":
        return [f"because: {choice.reason}"]
    return [f"because: {rule}", f"measured: {evidence}"]


def _inside(case: Case, choice: Choice) -> str:
    """Describes the lowering of a case that the previous lowering runs inside."""
    n, c, o = case.sizes
    window = "x".join(map(str, case.geometry.kernel))
    return (
        f"inside it runs {choice.lowering.name!r} (batch {n}, {c} channels in, {o} out,"
        f" kernel {window}): {choice.lowering.summary}"
    )


def _sizes(case: Case) -> str:
    n, c, o = case.sizes
    if case.groups == 1:
        return f"batch of {n}; {c} channels in and {o} out"
    depthwise = ", that is depthwise" if case.depthwise else ""
    return f"batch of {n}; {case.groups} groups{depthwise}, each {c} in and {o} out"


def _axis(index: int, axis: Axis) -> str:
    i, k, o, s, d, lo = axis
    return (
        f"axis {index}: ({i} + {lo} + {axis.hi} - {d}*({k}-1) - 1)/{s} + 1 = {o}"
        f" outputs (input {i}, padding {lo} and {axis.hi}, kernel {k}, dilation {d},"
        f" stride {s})"
    )
