"""Where oneDNN may be called: the user's switch, the program, and the machine.

oneDNN ends the process for operations that it has no primitive for, and calling it is
not a documented feature of jaxlib.  So it is used automatically only on machines and
versions on which the tests run; elsewhere a probe (`_plan.probe`) must have succeeded.
"""

from __future__ import annotations

import functools
import os
import platform as _machine
import sys
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Any, cast

import jax

from jaxconv._core.errors import choice
from jaxconv._plan import probe
from jaxconv._plan.machine import processor

MODES = ("auto", "forbid", "demand")
VARIABLE = "JAXCONV_ONEDNN"
# Versions of jaxlib on which every test is run, on Linux x86-64.
PROVEN = ("0.10.2", "0.11.2", "0.12.0")
TYPE = "float32"
NEEDED = "avx512f"  # on x86-64; oneDNN is not tested on processors without it
# Environment variables that reduce oneDNN's precision.
ROUNDING = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")

_MODE = jax.make_user_context(default_value=None)  # part of jit's cache key


def onednn(mode: str) -> AbstractContextManager[None]:
    r"""Forbids oneDNN's convolutions on CPUs, demands them, or leaves them to the plan.

    .. math:: \mathrm{mode} \in \{\text{auto}, \text{forbid}, \text{demand}\}

    It is a context manager and a decorator, for everything that this thread traces
    inside.  A function compiled outside is compiled again inside, and vice versa.  The
    environment variable ``JAXCONV_ONEDNN`` sets the mode outside of any such context.
    ``implementation="onednn"`` demands oneDNN for one call.

    Args:
      mode: "auto", the default, uses oneDNN where it was measured to be faster and is
        known to work: on Linux x86-64 with a jaxlib that jaxconv is tested with, or
        where ``python -m jaxconv check`` has succeeded.  "forbid" never uses it, so
        that compiled programs can be stored: by serializing `jax.stages.Compiled`
        objects, or in JAX's persistent compilation cache.  "demand" uses it for every
        convolution, or raises an error with the reason why it cannot.

    Returns:
      The context manager.

    Raises:
      ValueError: an unknown mode.

    Example:
      >>> import jax, jax.numpy as jnp, jaxconv
      >>> x, kernel = jnp.ones((1, 2, 6, 6)), jnp.ones((3, 2, 3, 3))
      >>> with jaxconv.onednn("forbid"):
      ...     text = jax.jit(jaxconv.conv).lower(x, kernel).as_text()
      >>> "onednn" in text
      False

    Elsewhere: `torch.backends.mkldnn.flags` switches oneDNN in PyTorch.

    Source: none; a policy.
    """
    return _switched(choice("mode", mode, MODES))


@contextmanager
def _switched(mode: str) -> Generator[None]:
    with _MODE(mode):
        yield


@functools.cache
def _default_mode() -> str:
    return choice(VARIABLE, os.environ.get(VARIABLE, "auto"), MODES)


def mode() -> str:
    """The mode in force in this thread."""
    return _MODE.value or _default_mode()


def obstacle(
    platform: str,
    partitioned: bool = False,
    exporting: bool = False,
    *,
    asked: bool = False,
) -> str | None:
    """Why oneDNN cannot be called in a place, or None.

    ``asked``: the user demands it, so an unknown machine is probed.
    """
    if mode() == "forbid":
        return f'it is forbidden, by jaxconv.onednn("forbid") or {VARIABLE}'
    if platform != "cpu":
        return f"it runs on CPUs, and the program is for the platform {platform!r}"
    if exporting:
        return "jax.export cannot store a call of it"
    if partitioned:
        return "XLA cannot partition a call of it over devices; inside shard_map it can"
    if _caches_programs():
        return "JAX's persistent compilation cache cannot store a call of it"
    return _of_the_machine(asked)


def _caches_programs() -> bool:
    config = cast(Any, jax.config)
    return bool(
        config.jax_enable_compilation_cache and config.jax_compilation_cache_dir
    )


def _of_the_machine(asked: bool) -> str | None:
    rounding = [v for v in ROUNDING if os.environ.get(v, "STRICT").upper() != "STRICT"]
    if rounding:
        return f"the environment variable {rounding[0]} makes it round more"
    if _machine.machine() == "x86_64" and NEEDED not in processor():
        return f"the processor has no {NEEDED}"
    return _unknown_or_failed(asked)


def _unknown_or_failed(asked: bool) -> str | None:
    """The result of a probe, which is needed only on machines without tests."""
    found = probe.remembered()
    if found is None and not proven() and asked:
        found = probe.run()
    if found is not None:
        return found.reason
    if proven():
        return None
    here = f"jaxlib {version('jaxlib')} on {sys.platform} {_machine.machine()}"
    remedy = "`python -m jaxconv check` finds out whether it works"
    return f"jaxconv is not tested with {here}; {remedy}"


def proven() -> bool:
    """Whether the tests run on this kind of machine with this jaxlib."""
    here = sys.platform == "linux" and _machine.machine() == "x86_64"
    jaxlib = version("jaxlib")
    return here and any(jaxlib == v or jaxlib.startswith(f"{v}.") for v in PROVEN)
