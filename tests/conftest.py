"""Settings for every test.  The environment must be set before jax is imported."""

from __future__ import annotations

import os
import zlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
# Eight CPU devices, so that sharding is tested without an accelerator.
flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"

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

# The inner modules' annotations hold at run time too.  The public functions are left
# out: they must refuse a wrong argument themselves, in their own words.
INNER = (
    "_core",
    "_plan",
    "_adopt.reading",
    "_lowerings",
)
jaxtyping.install_import_hook(
    [f"jaxconv.{module}" for module in INNER], "beartype.beartype"
)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's name: the same in every run."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thin",
        type=int,
        default=1,
        metavar="N",
        help="of the cases of each test, run the first and about one in N of the rest",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Their names say which cases run, so that every run takes the same."""
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
