"""The annotations of public functions, held against calls that succeed."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from beartype.door import is_bearable
from jax.experimental.sparse import BCOO
from jaxtyping import jaxtyped

import jaxconv

PUBLIC = ("jaxconv._ops", "jaxconv._deform")


def check_public() -> None:
    """Replaces public functions, wherever they are used, by ones that are checked."""
    functions = [v for v in vars(jaxconv).values() if inspect.isfunction(v)]
    public = [fn for fn in functions if fn.__module__.startswith(PUBLIC)]
    by_id = {id(fn): checked(fn) for fn in public}
    for module in [m for name, m in sys.modules.items() if name.startswith("jaxconv")]:
        for name, value in list(vars(module).items()):
            if id(value) in by_id:
                setattr(module, name, by_id[id(value)])
    for name in ("init", "step", "whole"):
        setattr(jaxconv.Stream, name, checked(vars(jaxconv.Stream)[name]))


def checked(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function; after a call its arguments and result must be as annotated.

    A letter has the same size in all of them.
    """
    named = typing.get_type_hints(inspect.unwrap(fn), localns={"BCOO": BCOO})
    hints = {name: hint for name, hint in named.items() if "jaxtyping" in str(hint)}
    signature = inspect.signature(fn)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = fn(*args, **kwargs)
        given = signature.bind(*args, **kwargs).arguments
        with jaxtyped("context"):
            for name, value in {**given, "return": result}.items():
                hint = hints.get(name, object)
                assert is_bearable(value, hint), (fn.__name__, name, value, hint)
        return result

    return call
