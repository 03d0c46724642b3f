"""Chooses lowerings by measuring them, for one model on one machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxconv._border import arguments as can
from jaxconv._core.contract import contract_p
from jaxconv._core.spec import OPERANDS, Case
from jaxconv._inspect.walk import Found, contractions
from jaxconv._lowerings.base import DIRECT
from jaxconv._plan.choose import TUNED, asked_for, candidates, case_key
from jaxconv._plan.names import lowerings
from jaxconv._plan.place import Place


@dataclass(frozen=True)
class Tuning(Mapping[str, str]):
    """The fastest lowering of each contraction; a context manager that applies them.

    Inside ``with tuning:`` these lowerings are chosen.  A function compiled outside is
    compiled again inside, and vice versa.  ``save`` and ``load`` use JSON.
    """

    winners: tuple[tuple[str, str], ...]
    times: Mapping[str, Mapping[str, float]] = field(
        compare=False, default_factory=dict
    )
    _entered: threading.local = field(
        compare=False, repr=False, default_factory=threading.local
    )

    def __getitem__(self, key: str) -> str:
        return dict(self.winners)[key]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.winners)

    def __len__(self) -> int:
        return len(self.winners)

    def __hash__(self) -> int:
        return hash(self.winners)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tuning) and self.winners == other.winners

    def __enter__(self) -> Tuning:
        manager = TUNED(self.winners)
        manager.__enter__()
        self._entered.stack = [*getattr(self._entered, "stack", ()), manager]
        return self

    def __exit__(self, *details: Any) -> None:
        self._entered.stack.pop().__exit__(*details)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the fastest lowerings and the measured seconds as JSON."""
        document = {
            "format": _FORMAT,
            "jax": jax.__version__,
            "device": jax.devices()[0].device_kind,
            "winners": dict(self.winners),
            "seconds": {key: dict(times) for key, times in self.times.items()},
        }
        Path(path).write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Tuning:
        """Reads a file that `save` wrote; raises ValueError for any other file."""
        document = json.loads(Path(path).read_text())
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            rule = f"is not a saved tuning (its format is not {_FORMAT!r})"
            can.fail("path", str(path), rule, "Write one with Tuning.save")
        winners: dict[str, str] = document["winners"]
        known = {name for role in OPERANDS for name in lowerings(role)}
        for name in sorted(set(winners.values()) - known):
            rule = f"names the lowering {name!r}, which this version does not have"
            can.fail("path", str(path), rule, "Tune again with this version")
        return cls(tuple(sorted(winners.items())), document["seconds"])


_FORMAT = "jaxconv tuning 1"


def tune(fn: Callable[..., Any], *args: Any, repeats: int = 5, **kwargs: Any) -> Tuning:
    r"""Times the lowerings of each convolution in a function, and keeps the fastest.

    .. math:: \mathrm{winner}(\mathrm{case}) =
        \mathrm{argmin}_{\mathrm{lowering}} \min_{r \le \mathit{repeats}} t_r

    Every different contraction that ``fn(*args, **kwargs)`` would run, those of
    gradients included, is timed separately on random operands, with every candidate:
    each lowering that can run it within the plan's memory limit.  One program is
    compiled per contraction and lowering.

    Args:
      fn: any traceable function; a whole training step includes its gradients.
      args: arrays, or `jax.ShapeDtypeStruct`, or trees of them.
      repeats: timed runs of each lowering, at least 1; the fastest counts.
      kwargs: static options, passed on to fn.

    Returns:
      A `Tuning`: use it as ``with tuning: ...``, or ``save`` it and ``load`` it later.
      Its ``times`` are in seconds.

    Raises:
      ValueError, TypeError: repeats below 1 or not an int; whatever tracing raises.

    Example:
      >>> import jax.numpy as jnp, jaxconv
      >>> x, kernel = jnp.zeros((1, 3, 8, 8)), jnp.zeros((4, 3, 3, 3))
      >>> tuning = jaxconv.tune(jaxconv.conv, x, kernel, repeats=1)
      >>> with tuning:
      ...     y = jaxconv.conv(x, kernel)
      >>> y.shape, len(tuning)
      ((1, 4, 6, 6), 1)

    Elsewhere: the autotuning of cuDNN in PyTorch (`torch.backends.cudnn.benchmark`) and
    XLA chooses among cuDNN's kernels; on a CPU neither measures.

    Source: measurement.
    """
    can.function("fn", fn)
    repeats = can.integer("repeats", repeats, 1)
    place = Place.here()
    times: dict[str, dict[str, float]] = {}
    winners: dict[str, str] = {}
    for found in contractions(fn, *args, **kwargs):
        key = case_key(found.case, place.platform)
        if key in winners or _asked(found.case):
            continue
        names = candidates(found.case, place)
        times[key] = {name: _seconds(found, name, repeats) for name in names}
        winners[key] = min(times[key], key=times[key].__getitem__)
    return Tuning(tuple(sorted(winners.items())), times)


def _asked(case: Case) -> bool:
    """Whether the call names its lowering, so that there is nothing to choose."""
    return case.spec.lowering == DIRECT or asked_for(case) is not None


def _seconds(found: Found, name: str, repeats: int) -> float:
    """The shortest of several runs of one compiled lowering on random operands."""
    operands = [_random(shape, found.case) for shape in found.shapes]
    spec = replace(found.case.spec, lowering=name, sharding=None)
    run = jax.jit(lambda a, b: contract_p.bind(a, b, spec=spec))
    jax.block_until_ready(run(*operands))
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(*operands))
        times.append(time.perf_counter() - start)
    return min(times)


def _random(shape: tuple[int, ...], case: Case) -> jax.Array:
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=shape) * 8).astype(case.dtype)
