"""Runs existing models on jaxconv without changing them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ContextDecorator
from functools import partial
from typing import Any, TypeVar, overload

from jaxconv._adopt.lax import convolve
from jaxconv._adopt.remat import as_convolutions
from jaxconv._adopt.rewrite import rewritten
from jaxconv._adopt.state import adopted
from jaxconv._border import arguments as can
from jaxconv._core.intercept import intercepting

_FUSING = partial(rewritten, fusing=True)  # one object: trees that hold it are equal
F = TypeVar("F", bound=Callable[..., Any])


class Accelerated(ContextDecorator):
    """The result of `accelerate` without a function: a context manager and decorator.

    It is reentrant, and can be entered in several threads.
    """

    def __init__(self) -> None:
        self._entered = threading.local()

    def __enter__(self) -> None:
        manager = intercepting(convolve, as_convolutions)
        manager.__enter__()
        stack: tuple[AbstractContextManager[None], ...] = self._stack
        self._entered.stack = (*stack, manager)

    def __exit__(self, *details: Any) -> None:
        *rest, manager = self._stack
        self._entered.stack = tuple(rest)
        manager.__exit__(*details)

    @property
    def _stack(self) -> tuple[AbstractContextManager[None], ...]:
        return getattr(self._entered, "stack", ())


class _Entry(Accelerated):
    """A function that is a context manager too, so ``with accelerate:`` needs no ()."""

    def __init__(self, start: Callable[..., Any]) -> None:
        super().__init__()
        functools.update_wrapper(self, start)
        self._start = start

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._start(*args, **kwargs)

    def __reduce__(self) -> str:
        return self._start.__name__


def _block(start: F) -> F:
    entry: Any = _Entry(start)
    return entry


@overload
def accelerate(fn: F, /, *, fuse: bool = True) -> F: ...
@overload
def accelerate() -> Accelerated: ...
@_block
def accelerate(fn: Callable[..., Any] | None = None, /, *, fuse: bool = True) -> Any:
    r"""Runs the convolutions of an existing model or training step on jaxconv.

    .. math:: \mathrm{accelerate}(f)(x) = f(x)

    up to rounding, but faster: each `jax.lax.conv_general_dilated` in f, whichever
    library calls it, is replaced by jaxconv's contraction, for which a lowering is
    chosen.

    ``accelerate(fn)``, the recommended form, returns a function that traces fn as
    `jax.jit` does, rewrites the convolutions in its jaxpr, and evaluates the result.
    It also rewrites those inside jit, scan, while, cond, checkpoint, shard_map and
    functions with their own derivative rules.  Nothing is patched.  It does not
    compile: write ``jax.jit(jaxconv.accelerate(fn))``.

    If fn contains its gradient, as a whole training step does, its jaxpr has gradients
    of convolutions in lax's form.  They are recognised as gradients, so
    ``accelerate(train_step)`` is as fast as a step with ``jax.grad(accelerate(loss))``.

    Elementwise operations after a convolution are fused with it, if nothing else uses
    the values between: a scale and a shift per channel, as in batch normalisation, an
    activation, the addition of a residual.  They take one pass over memory together.
    Zero padding before a convolution becomes part of it.  In a differentiated function,
    values that the gradient needs are kept.

    State: modules of Flax NNX among the arguments, and one that fn is or is bound to,
    are updated as by Flax' own transformations, and so are dictionaries and lists that
    fn changes.  Any other change would be lost, and is an error that names the object:
    a changed argument of another type, or a traced array stored outside of fn.  Return
    the new value instead, or call fn inside ``with accelerate():``.

    ``with accelerate():`` and ``@accelerate()`` do the same for everything that this
    thread traces inside the block; use them if you cannot wrap the function, for
    example in Keras' ``fit``.  The convolution primitive of `jax.lax` is patched inside
    the block, and restored on exit.  A function that was jitted outside is traced again
    inside, and vice versa, but a compiled function (`jax.stages.Compiled`) does not
    change.

    Args:
      fn: any function of arrays (and trees of them) that jax can trace.  Arguments and
        results that are not arrays are static.
      fuse: whether to fuse elementwise operations with convolutions.  A block of
        ``accelerate()`` never does, because it sees one convolution at a time.

    Returns:
      A function with the same arguments and results.  If fn is a tree, such as an
      Equinox module, the result is a tree of the same arrays.  Without ``fn``, a
      context manager that is also a decorator, reentrant and usable in many threads.

    Raises:
      TypeError: fn is not callable.
      ValueError: on a call, fn changes an object, and the change would be lost.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> def model(x, kernel):  # depthwise, as Flax or Keras would call it
      ...     return jax.lax.conv_general_dilated(
      ...         x, kernel, (1, 1), "SAME", feature_group_count=8,
      ...         dimension_numbers=("NHWC", "HWIO", "NHWC"))
      >>> x, kernel = jnp.ones((1, 6, 6, 8)), jnp.ones((3, 3, 1, 8))
      >>> fast = jax.jit(jaxconv.accelerate(model))
      >>> bool(jnp.allclose(fast(x, kernel), model(x, kernel)))
      True
      >>> "jaxconv_contract" in str(jax.make_jaxpr(fast)(x, kernel))
      True

    Elsewhere: `torch.compile` and `torch.backends.cudnn.benchmark` choose faster
    convolutions in PyTorch; JAX has no counterpart.

    Source: measurement (benchmarks/), and the algebra of `jaxconv.conv_transpose`.
    """
    if fn is None:
        return Accelerated()
    if not callable(fn):
        remedy = "Write accelerate(fn), or accelerate() for a context manager"
        can.fail("fn", fn, "is not callable", remedy, TypeError)

    return adopted(fn, _FUSING if fuse else rewritten)
