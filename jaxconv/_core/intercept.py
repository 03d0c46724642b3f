"""Lets the convolutions of lax be traced as something else, in one thread at a time.

The one place where jax is patched: `lax.conv_general_dilated_p.bind`, which everything
in lax that convolves goes through, whoever holds a reference to it.  It is replaced
while some thread is inside `intercepting`, and put back when the last one leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import jax
from jax import lax

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
def intercepting(replacement: Bind) -> Generator[None]:
    """In this thread lax's convolutions are traced by ``replacement(x, w, **params)``.

    ``replacement`` has to be the same function each time: the cache compares it.
    """
    with _installed(), _ACTIVE(replacement):
        yield


@contextmanager
def _installed() -> Generator[None]:
    global _inside
    primitive: Any = lax.conv_general_dilated_p
    with _LOCK:
        if _inside == 0:
            primitive.bind = _bind(primitive.bind)
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                del primitive.bind  # the instance's; the class's is there again


def _bind(original: Bind) -> Bind:
    def bind(*operands: Any, **params: Any) -> Any:
        replacement = _ACTIVE.value
        if replacement is None or getattr(_LOCAL, "plain", False):
            return original(*operands, **params)
        return replacement(*operands, **params)

    return bind
