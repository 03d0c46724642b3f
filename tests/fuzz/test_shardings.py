"""Some random shardings, always the same ones, and those that were found to be wrong.

``python -m tests.fuzz.shardings 3000`` for more.
"""

from __future__ import annotations

import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from fuzz.shardings import Trial, check, draw

COUNT = 60

FOUND = {
    # jax.lax.ppermute numbers the shards of several mesh axes in the mesh's order.
    "mesh axes in another order than the mesh's": Trial(
        "conv_transpose",
        ((2, 16, 12, 6), (1, 3, 8, 6)),
        {"dilation": (1, 2), "groups": 2, "layout": "channels_last"},
        (4, 2),
        (P(None, "b", "a"), P(None, None, ("a", "b")), P(None, None, "b")),
    ),
    # The rows of the result are 10, which the mesh axis of the image does not divide.
    "explicit rows that the result has not": Trial(
        "conv",
        ((6, 8, 8, 5), (2, 4, 3, 4)),
        {"padding": (2, 2), "groups": 2},
        (4, 2),
        (P(None, "b", "a"), P(None, "a", None, "b"), P()),
        "explicit",
    ),
    # XLA pads unevenly sharded axes wrongly: no sharding may spread from 12 to 14 rows.
    "a padded axis that the mesh does not divide": Trial(
        "conv_transpose",
        ((1, 12, 8, 8), (3, 2, 4, 8)),
        {
            "stride": (1, 2),
            "dilation": (1, 2),
            "padding": 1,
            "groups": 8,
            "layout": "channels_last",
            "padding_mode": "reflect",
        },
        (3, 2),
        (P(None, "a", None, "b"), P("a"), P(None, None, None, "b")),
        "jit",
        True,
    ),
    "a window is cut over an axis that shard_map leaves": Trial(
        "conv_general_dilated",
        ((4, 12, 8, 16, 8), (8, 3, 3, 2, 4)),
        {
            "window_strides": (1, 1, 3),
            "padding": [(1, 1), (2, 1), (0, 2)],
            "dimension_numbers": ("NCDHW", "OIDHW", "NCDHW"),
            "feature_group_count": 4,
        },
        (2, 2, 2),
        (
            P(None, None, "c", None, "b"),
            P(None, None, None, "c", "b"),
            P(None, None, None, "b"),
        ),
        "manual",
    ),
    # XLA ends the process where it partitions a gather in a shard_map of some axes.
    "samples and channels are cut over axes that shard_map leaves": Trial(
        "deform_conv",
        ((8, 8, 16), (8, 8, 3), (3, 2, 8), (8, 8, 3)),
        {"layout": "channels_last", "padding": 1},
        (2, 2, 2),
        (P(None, None, "b"), P(None, "b"), P(), P(), P(None, "c", "b")),
        "manual",
        True,
    ),
    # Devices that share a place in shard_map are numbered in the result's order.
    "shard_map leaves two axes, which cut in another order": Trial(
        "conv",
        ((2, 16, 8, 4), (3, 1, 4, 4)),
        {"stride": (1, 2), "padding": (1, 0), "layout": "channels_last"},
        (2, 2, 2),
        (P(None, "c", "a"), P(None, None, "a", "c"), P(None, "a")),
        "manual",
        True,
        (1,),
    ),
    # XLA partitions slices with strides wrongly.
    "windows in strides along an axis of few elements": Trial(
        "unfold",
        ((2, 4, 8, 6),),
        {
            "stride": (2, 3),
            "dilation": (1, 2),
            "padding": (1, 0),
            "kernel_size": (1, 3),
        },
        (6,),
        (P(None, None, None, "a"), P(None, "a")),
    ),
    "fold of a shard": Trial(
        "fold",
        ((4, 12, 9),),
        {"output_size": (4, 4), "kernel_size": (2, 2)},
        (2, 2),
        (P(None, "b"), P(None, None, "b")),
        "manual",
    ),
    "a padding mode's transpose in a shard": Trial(
        "conv_transpose",
        ((4, 6, 8), (6, 3, 3)),
        {"padding": 1, "padding_mode": "reflect"},
        (2, 2),
        (P(None, "b"), P("b"), P()),
        "manual",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name: str) -> None:
    check(FOUND[name])


@pytest.mark.parametrize("first", range(0, COUNT, 10))
def test_random_shardings(first: int) -> None:
    for seed in range(first, first + 10):
        check(draw(np.random.default_rng(seed)), seed)
