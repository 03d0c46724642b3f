"""Converts functions with jaxconv's primitives to primitives of lax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from jax.extend.core import jaxpr_as_fun

from jaxconv._adopt.fused import fused_p
from jaxconv._adopt.plain import contraction, sampling
from jaxconv._adopt.rewrite import Rules, rewrite, rewritten
from jaxconv._adopt.state import adopted
from jaxconv._border import arguments as can
from jaxconv._core.contract import contract_p
from jaxconv._core.surround import pad_p, run
from jaxconv._deform.form import sample_p

F = TypeVar("F", bound=Callable[..., Any])


def _unfused(*operands: Any, jaxpr: Any, **_: Any) -> Any:
    return jaxpr_as_fun(rewrite(jaxpr, LAX))(*operands)[0]


LAX = Rules(
    {contract_p: contraction, sample_p: sampling, pad_p: run, fused_p: _unfused}
)
_EVALUATE = partial(rewritten, rules=LAX)


def to_lax(fn: F, /) -> F:
    r"""Converts a function to one that uses only primitives of `jax.lax`.

    .. math:: \mathrm{to\_lax}(f)(x) = f(x)

    up to rounding, for tools that read a jaxpr and know JAX's own primitives only:
    converters to ONNX, interpreters such as those for Laplacians or quantisation, cost
    models.  Every convolution becomes one `jax.lax.conv_general_dilated`, and sampling
    in deformable convolutions becomes gathers, scatters and products; no lowering is
    chosen.  This holds inside jit, loops and branches too, and for functions that
    `accelerate` returned.  The result can be differentiated to any order.

    Let the tool trace the returned function: ``convert(to_lax(model))``.  `jax.grad`
    and other transformations may be outside or inside of it.  Modules are updated as by
    `accelerate`.

    Args:
      fn: any function of arrays (and trees of them) that jax can trace.  Arguments and
        results that are not arrays are static.

    Returns:
      A function of the same arguments and results.

    Raises:
      TypeError: fn is not callable.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> x, kernel = jnp.ones((1, 3, 8, 8)), jnp.ones((4, 3, 3, 3))
      >>> plain = jaxconv.to_lax(jaxconv.conv)
      >>> bool(jnp.allclose(plain(x, kernel), jaxconv.conv(x, kernel)))
      True
      >>> "jaxconv_contract" in str(jax.make_jaxpr(plain)(x, kernel))
      False

    Elsewhere: `torch.fx` and ONNX' function bodies decompose operators in this way.

    Source: the inverse of `jaxconv.accelerate`.
    """
    if not callable(fn):
        can.fail("fn", fn, "is not callable", "Write to_lax(fn)", TypeError)
    new: Any = adopted(fn, _EVALUATE)
    return new
