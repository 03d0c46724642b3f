"""Haiku's ResNet of basic blocks."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax

from benchmarks.models import Model, cross_entropy, fill, labels, normal


def build(
    *, batch: int, image: int, classes: int, width: int, blocks: tuple[int, ...]
) -> Model:
    def forward(x: jax.Array, training: bool) -> jax.Array:
        network = hk.nets.ResNet(
            blocks,
            classes,
            bottleneck=False,
            channels_per_group=tuple(width * 2**i for i in range(len(blocks))),
            use_projection=(False, True, True, True),
            initial_conv_config={"output_channels": width},
        )
        return network(x, is_training=training)

    network = hk.without_apply_rng(hk.transform_with_state(forward))
    data = normal((batch, image, image, 3), 1), labels(batch, classes)
    shapes = jax.eval_shape(
        lambda key, x: network.init(key, x, True), jax.random.key(0), data[0]
    )

    def predict(variables: Any, batch: Any) -> jax.Array:
        return network.apply(*variables, batch[0], False)[0]

    def loss(params: Any, state: Any, batch: Any) -> tuple[jax.Array, Any]:
        logits, state = network.apply(params, state, batch[0], True)
        return cross_entropy(logits, batch[1]), state

    return Model(fill(shapes), data, predict, loss)
