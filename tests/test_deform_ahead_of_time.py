"""Deformable convolution compiled for a TPU that is not there, where libtpu is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxconv._deform import deform_conv

pytest.importorskip("libtpu", reason="libtpu, TPU's compiler, is not installed")


@pytest.mark.parametrize("implementation", ["columns", "chunks"])
def test_compiles_for_a_tpu(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jax.experimental import topologies

    settings = {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    device = jax.sharding.SingleDeviceSharding(topology.devices[0])
    shapes = [(2, 8, 10, 12), (2, 18, 10, 12), (4, 8, 3, 3)]
    v = [jax.ShapeDtypeStruct(s, np.float32, sharding=device) for s in shapes]

    def loss(x: jax.Array, offset: jax.Array, kernel: jax.Array) -> jax.Array:
        y = deform_conv(x, offset, kernel, padding=1, implementation=implementation)
        return jnp.sin(y).sum()

    for fun in (loss, jax.grad(loss, argnums=(0, 1, 2))):
        lowered = jax.jit(fun).trace(*v).lower(lowering_platforms=("tpu",))
        compiled = lowered.compile()
        # Rows of four corners side by side: one gather, four times 8 channels wide.
        assert "32]" in compiled.as_text()
