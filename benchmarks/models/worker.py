"""One way of running the models, in a process of its own, driven over its pipes."""

from __future__ import annotations

import importlib.metadata
import time
from typing import Any

import jax
import numpy as np

import jaxconv
from benchmarks.models import RATE, Model, build, training_step
from benchmarks.peers import Ready
from benchmarks.worker import Worker, serve, sketch

WAYS = ("plain", "inside", "outside")
TASKS = ("inference", "training step")
PACKAGES = ("keras", "flax", "equinox", "dm-haiku")


def function(model: Model, task: str, way: str) -> Any:
    """``inside`` takes the gradient of an accelerated loss, ``outside`` the reverse."""
    if task == "inference":
        plain = model.predict
        return plain if way == "plain" else jaxconv.accelerate(plain)
    loss = jaxconv.accelerate(model.loss) if way == "inside" else model.loss
    step = training_step(loss)
    return jaxconv.accelerate(step) if way == "outside" else step


def values(model: Model, task: str, result: Any) -> np.ndarray:
    """What two ways must agree in: the predictions, or the loss and the gradients."""
    if task == "inference":
        return np.asarray(result, np.float64).ravel()
    (moved, _), loss = result
    before, after = map(jax.tree.leaves, (model.variables[0], moved))
    gradients = [
        (np.asarray(old, np.float64) - np.asarray(new, np.float64)).ravel() / RATE
        for old, new in zip(before, after, strict=True)
    ]
    return np.concatenate([np.asarray(loss, np.float64).ravel(), *gradients])


class ModelWorker(Worker):
    """Holds one model and one task at a time."""

    def describe(self) -> dict[str, Any]:
        told = super().describe()
        names = [*PACKAGES, "jaxconv"]
        present = {d.name for d in importlib.metadata.distributions()}
        told["versions"] |= {
            name: importlib.metadata.version(name) for name in names if name in present
        }
        return told

    def build(self, model: str, task: str, path: str, small: bool) -> dict[str, Any]:
        """Traces, compiles, runs once and writes a sketch of the values to ``path``."""
        self.ready = None
        built = build(model, small=small)
        arguments = built.variables, built.batch
        started = time.perf_counter()
        traced = jax.jit(function(built, task, self.peer)).trace(*arguments)
        traced_s = time.perf_counter() - started
        lowered = traced.lower()
        lower_s = time.perf_counter() - started
        compiled = lowered.compile()
        compile_s = time.perf_counter() - started - lower_s
        started = time.perf_counter()
        result = jax.block_until_ready(compiled(*arguments))
        first_s = time.perf_counter() - started
        np.save(path, sketch(values(built, task, result)))
        memory = compiled.memory_analysis()
        temp_bytes = None if memory is None else memory.temp_size_in_bytes
        del result
        self.ready = Ready(
            lambda: jax.block_until_ready(compiled(*arguments)),
            *(lower_s, compile_s, temp_bytes, None),
        )
        return {
            "first_s": first_s,
            "trace_s": traced_s,
            "lower_s": lower_s,
            "compile_s": compile_s,
            "temp_bytes": temp_bytes,
        }


def main() -> None:
    serve(ModelWorker, WAYS)


if __name__ == "__main__":
    main()
