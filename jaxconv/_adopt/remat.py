"""Rematerialisation policies for convolutions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
from jax import lax
from jax.extend.core import JaxprEqn

from jaxconv._adopt.plain import contraction
from jaxconv._core.contract import contract_p
from jaxconv._core.spec import Spec

Policy = Callable[..., Any]


def convolutions_saveable(prim: Any, *operands: Any, **params: Any) -> bool:
    r"""A policy of `jax.checkpoint` that saves only the results of convolutions.

    .. math:: \mathrm{saved} = \{\, y : y = \mathrm{conv}(x, w)
        \text{ or } y = \mathrm{conv\_transpose}(x, w) \,\}

    Use it as ``jax.checkpoint(fn, policy=jaxconv.convolutions_saveable)``.  The
    backward pass then recomputes only the cheap operations between convolutions.  It
    applies to convolutions of jaxconv and of `jax.lax`.

    A policy that names `jax.lax.conv_general_dilated_p` works with
    `jaxconv.accelerate` unchanged: it is asked about the original convolution.

    Args:
      prim: the primitive that JAX asks about.
      operands: the types of its operands; unused.
      params: its parameters; unused.

    Returns:
      Whether to save its results.

    Raises:
      Nothing.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> def loss(kernel, x):
      ...     return jnp.sin(jaxconv.conv(jnp.sin(x), kernel)).sum()
      >>> saving = jax.checkpoint(loss, policy=jaxconv.convolutions_saveable)
      >>> kernel, x = jnp.ones((2, 3, 3, 3)), jnp.ones((1, 3, 5, 5))
      >>> text = str(jax.make_jaxpr(jax.grad(saving))(kernel, x))
      >>> text.count("jaxconv_contract[")  # one forward, one for the gradient
      2

    Elsewhere: `jax.checkpoint_policies.dots_saveable` for matrix products.

    Source: `jax.checkpoint`.
    """
    return prim is contract_p or prim is lax.conv_general_dilated_p


def as_convolutions(policy: Policy) -> Policy:
    """The policy, asked about lax's convolution in place of each contraction."""

    def asked(prim: Any, *operands: Any, **params: Any) -> Any:
        if prim is contract_p:
            eqn = _convolution(params["spec"], *((v.shape, v.dtype) for v in operands))
            if eqn is not None:
                avals = (v.aval for v in eqn.invars)
                return policy(eqn.primitive, *avals, **eqn.params)
        return policy(prim, *operands, **params)

    return asked


@lru_cache(maxsize=4096)
def _convolution(spec: Spec, *operands: tuple[Any, Any]) -> JaxprEqn | None:
    """The equation of lax that equals a contraction; None if it has no element."""
    avals = [jax.ShapeDtypeStruct(*operand) for operand in operands]
    eqns = jax.make_jaxpr(partial(contraction, spec=spec))(*avals).eqns
    found = (eqn for eqn in eqns if eqn.primitive is lax.conv_general_dilated_p)
    return next(found, None)
