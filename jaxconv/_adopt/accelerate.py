"""Existing models on jaxconv, without changing them."""

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
    """What `accelerate` returns without a function: a context manager and decorator.

    It can be entered again while it is entered, and in several threads.
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
    """A function that starts a block, too: ``with accelerate:`` is as with ``()``."""

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

    to rounding, sooner: each `jax.lax.conv_general_dilated` in f, whichever library
    called it, becomes the contraction that it is and gets the lowering planned for it.

    ``accelerate(fn)``, the recommended form, returns a function that traces fn as
    `jax.jit` does, rewrites the convolutions in its jaxpr (through jit, scan, while,
    cond, checkpoint, shard_map and functions with derivative rules of their own), and
    evaluates that.  Nothing is patched.  Modules of Flax NNX among the arguments, and
    one that fn is or is bound to, are updated as Flax' own transformations do; so are
    dictionaries and lists that fn changes.  A function that contains its gradient, such
    as a whole training step, holds JAX's own differentiated convolutions; they are read
    back as the gradients they are, so ``accelerate(train_step)`` is as quick as a step
    that takes ``jax.grad(accelerate(loss))``.  It does not compile: wrap it in
    `jax.jit`, as ``jax.jit(jaxconv.accelerate(fn))``.

    What a convolution's result goes through element by element (a scale and a shift per
    channel, as of batch normalisation, an activation, the addition of a residual) joins
    the convolution where nothing else needs the values in between: the vectors are
    computed once, and all of it takes one pass over memory.  Zeros put around an image
    before a convolution become its padding.  Inside a differentiated function the
    values are kept that the gradient needs.

    A change that would be lost is an error, which names the object: one among the
    arguments of another type that changes, or one from outside in which fn leaves a
    traced array.  Return the new value, or call fn inside ``with accelerate():``.

    ``with accelerate():`` and ``@accelerate()`` do the same to all that is traced by
    this thread inside, where the function cannot be got at, as in Keras' ``fit``.
    `jax.lax`'s convolution primitive is patched meanwhile, and restored on exit.
    A function that jit traced outside is traced again inside, and the other way round;
    but whoever keeps a compiled function of their own keeps what it was compiled from.

    Args:
      fn: any function of arrays (and trees of them) that jax can trace.  Arguments and
        results that are not arrays are static.
      fuse: whether what follows a convolution may join it.  A block of
        ``accelerate()`` never does that: it sees one convolution at a time.

    Returns:
      A function of the same arguments and results, and a tree of the same arrays if fn
      is one, as an Equinox module is; without ``fn``, a context manager
      that is a decorator too, and can be entered many times, in many threads.

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
    convolutions of the same meaning; JAX has no counterpart.

    Source: measurement (benchmarks/), and the algebra of `jaxconv.conv_transpose`.
    """
    if fn is None:
        return Accelerated()
    if not callable(fn):
        remedy = "Write accelerate(fn), or accelerate() for a context manager"
        can.fail("fn", fn, "is not callable", remedy, TypeError)

    return adopted(fn, _FUSING if fuse else rewritten)
