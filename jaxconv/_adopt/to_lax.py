"""The way out: jaxconv's primitives as those of lax."""

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
    r"""The same function, written in the primitives of `jax.lax` alone.

    .. math:: \mathrm{to\_lax}(f)(x) = f(x)

    to rounding, for tools that read a jaxpr and know no primitives but JAX's own:
    converters to ONNX, interpreters such as those for Laplacians or quantisation, cost
    models.  Every convolution becomes one `jax.lax.conv_general_dilated`, the sampling
    in a deformable convolution gathers, scatters and products; nothing is planned.  All
    else stays, also inside jit, loops and branches, and functions that `accelerate`
    returned come back to lax.  It can be differentiated to any order.

    The tool has to trace the function that this returns: ``convert(to_lax(model))``.
    `jax.grad` and the like may stand outside or inside.  Modules are updated as by
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

    Elsewhere: `torch.fx` and ONNX' function bodies decompose operators likewise.

    Source: `jaxconv.accelerate`, the other way round.
    """
    if not callable(fn):
        can.fail("fn", fn, "is not callable", "Write to_lax(fn)", TypeError)
    new: Any = adopted(fn, _EVALUATE)
    return new
