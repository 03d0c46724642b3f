"""Settings for every test.  The environment must be set before jax is imported."""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
# Annotations are checked at run time only where this is 0: pyright has read them, and
# the checks cost a quarter of the time of the tests.
CHECK_TYPES = os.environ.setdefault("JAXTYPING_DISABLE", "1") == "0"
# Eight CPU devices, so that sharding is tested without an accelerator.
FLAGS = {"xla_force_host_platform_device_count": "8"}
# Most of a test's time goes into the making of machine code that runs for a moment:
# LLVM's optimisation, and XLA's newer code generator, which jaxlib 0.10 can do without.
# Everything before it, the choice of library calls too, stays as users have it.
FLAGS["xla_backend_optimization_level"] = "0"
if version("jaxlib").startswith("0.10."):
    FLAGS["xla_cpu_use_fusion_emitters"] = "false"
flags = [os.environ.get("XLA_FLAGS", "")]  # what these name stays as it is
flags += [f"--{name}={v}" for name, v in FLAGS.items() if f"--{name}=" not in flags[0]]
os.environ["XLA_FLAGS"] = " ".join(flags)
MARK = "pytest.mark.optimised"
OPTIMISED = "--xla_backend_optimization_level=0" not in os.environ["XLA_FLAGS"]

import hypothesis
import jax
import jaxtyping
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# A first compilation is slow, which says nothing about the code: no deadline.
hypothesis.settings.register_profile("jaxconv", deadline=None, derandomize=True)
hypothesis.settings.load_profile("jaxconv")

# The inner modules' annotations, where they are checked.  Those of public functions are
# checked after a call has succeeded (`annotations`): they must refuse a wrong argument
# themselves, in their own words.
INNER = (
    "_core",
    "_plan",
    "_adopt.reading",
    "_lowerings",
)
if CHECK_TYPES:
    jaxtyping.install_import_hook(
        [f"jaxconv.{module}" for module in INNER], "beartype.beartype"
    )
    import annotations

    annotations.check_public()
# What JAX traces lives as long as its caches: looking for rubbish in it, as often as
# Python does unasked, takes a fifth of the time of the tests.
gc.freeze()
gc.set_threshold(100_000, 20, 20)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's name: the same in every run."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def as_users_have_it() -> Iterator[None]:
    """JAX's own settings, which the libraries beside jaxconv rely on."""
    from frameworks import defaults

    with defaults():
        yield


@pytest.fixture
def without_onednn() -> Iterator[None]:
    """XLA's own convolutions, on every CPU."""
    import jaxconv

    with jaxconv.onednn("forbid"):
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thin",
        type=int,
        default=1,
        metavar="N",
        help="of the cases of each test, run the first and about one in N of the rest",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only the tests of last digits are asked for, other files are not read."""
    only = config.option.markexpr == "optimised" and collection_path.suffix == ".py"
    return True if only and MARK not in collection_path.read_text("utf-8") else None


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Thinned; their names say which cases run, so that every run takes the same."""
    for item in items:
        if not OPTIMISED and item.get_closest_marker("optimised"):
            item.add_marker(
                pytest.mark.skip(
                    "`make test` runs it apart, with code as users have it"
                )
            )
    every, seen = config.getoption("thin"), set()

    def left_out(item: pytest.Item) -> bool:
        function = item.nodeid.partition("[")[0]
        first = function not in seen
        seen.add(function)
        return not first and zlib.crc32(item.nodeid.encode()) % every > 0

    chosen = {True: [], False: []}
    for item in items:
        chosen[not left_out(item)].append(item)
    items[:] = chosen[True]
    config.hook.pytest_deselected(items=chosen[False])
