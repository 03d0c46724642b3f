"""Replaces lax's convolutions while a function is traced, in one thread.

This is the only module that patches JAX.  It replaces the ``bind`` methods of two
primitives: that of `lax.conv_general_dilated_p`, which every convolution of lax and of
the libraries above it calls, and that of `remat_p`, whose policies decide by primitive
what is saved.  They stay replaced as long as any thread is inside `intercepting`; other
threads reach the original methods.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import jax
from jax import lax
from jax.extend.core.primitives import remat_p

Bind = Callable[..., Any]

# Part of jit's cache key, so that a function traced inside is traced again outside.
_ACTIVE = jax.make_user_context(default_value=None)
_LOCAL = threading.local()
_LOCK = threading.Lock()
_inside = 0


@contextmanager
def plain() -> Generator[None]:
    """Switches the interception off for this thread, inside `intercepting` too."""
    before = getattr(_LOCAL, "plain", False)
    _LOCAL.plain = True
    try:
        yield
    finally:
        _LOCAL.plain = before


@contextmanager
def intercepting(
    replacement: Bind, policy: Callable[[Any], Any] = lambda kept: kept
) -> Generator[None]:
    """Traces this thread's lax convolutions as ``replacement(x, w, **params)``.

    A rematerialisation policy p is replaced by ``policy(p)``.  Pass the same two
    function objects every time: they are part of jit's cache key.
    """
    with _installed(), _ACTIVE((replacement, policy)):
        yield


@contextmanager
def _installed() -> Generator[None]:
    global _inside
    with _LOCK:
        if _inside == 0:
            for primitive, bind in _PATCHES.items():
                primitive.bind = bind(primitive.bind)
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                for primitive in _PATCHES:
                    del primitive.bind  # the class's method is visible again


def _active() -> tuple[Bind, Callable[[Any], Any]] | None:
    return None if getattr(_LOCAL, "plain", False) else _ACTIVE.value


def _convolving(original: Bind) -> Bind:
    def bind(*operands: Any, **params: Any) -> Any:
        active = _active()
        if active is None:
            return original(*operands, **params)
        return active[0](*operands, **params)

    return bind


def _remembering(original: Bind) -> Bind:
    def bind(*operands: Any, **params: Any) -> Any:
        active = _active()
        if active is not None and params.get("policy") is not None:
            params["policy"] = active[1](params["policy"])
        return original(*operands, **params)

    return bind


_PATCHES: dict[Any, Callable[[Bind], Bind]] = {
    lax.conv_general_dilated_p: _convolving,
    remat_p: _remembering,
}
