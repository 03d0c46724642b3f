"""Where oneDNN may be called: the switch, and what has to hold besides the case.

oneDNN ends the process over what it has no primitive for, and jaxlib promises nothing
about it.  So it is used by itself only on machines and versions that the tests run on;
elsewhere a probe (`_plan.probe`) has to have passed first.
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
NEEDED = "avx512f"  # of an x86-64 processor: no other has been tried by the fuzzer
# Set by the user, these make oneDNN round more.
ROUNDING = ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE")

_MODE = jax.make_user_context(default_value=None)  # part of jit's cache key


def onednn(mode: str) -> AbstractContextManager[None]:
    r"""Forbids oneDNN's convolutions on CPUs, demands them, or leaves them to the plan.

    .. math:: \mathrm{mode} \in \{\text{auto}, \text{forbid}, \text{demand}\}

    A context manager, and a decorator, for everything that this thread traces inside;
    functions compiled outside are compiled again inside, and the other way round.  The
    environment variable ``JAXCONV_ONEDNN`` has one of the same words and holds outside
    of any such context; ``implementation="onednn"`` demands it for one call.

    Args:
      mode: "auto", the default, takes oneDNN where the plan's measurements favour it
        and it is known to work: on Linux x86-64 with a jaxlib that jaxconv is tested
        with, or where ``python -m jaxconv check`` has found that it works.  "forbid"
        never does: such programs can be stored, `jax.stages.Compiled` objects
        serialized, and JAX's persistent compilation cache used.  "demand" takes it for
        every convolution, or raises the reason why not.

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

    ``asked``: the user demands it, so that what is not known yet is probed.
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
    """What a probe found; it is needed only on machines that are not proven."""
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
    """Whether the tests run on such a machine with this jaxlib."""
    here = sys.platform == "linux" and _machine.machine() == "x86_64"
    jaxlib = version("jaxlib")
    return here and any(jaxlib == v or jaxlib.startswith(f"{v}.") for v in PROVEN)
