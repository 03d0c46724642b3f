"""Lets the convolutions of lax be traced as something else, in one thread at a time.

The one place where jax is patched: `lax.conv_general_dilated_p.bind`, which everything
in lax that convolves goes through, whoever holds a reference to it, and `remat_p.bind`,
whose policies are asked about what is traced.  They are replaced while some thread is
inside `intercepting`, and put back when the last one leaves.
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

# Part of jit's cache key, so that nothing traced inside is used outside.
_ACTIVE = jax.make_user_context(default_value=None)
_LOCAL = threading.local()
_LOCK = threading.Lock()
_inside = 0


@contextmanager
def plain() -> Generator[None]:
    """In this thread, for a while, lax is just lax."""
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
    """In this thread lax's convolutions are traced by ``replacement(x, w, **params)``.

    Policies of rematerialisation become ``policy(theirs)``.  Both functions have to be
    the same each time: the cache compares them.
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
                    del primitive.bind  # the instance's; the class's is there again


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
