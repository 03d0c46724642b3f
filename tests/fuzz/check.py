"""Runs a call and holds it against its reference, or its refusal against the rules."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from fuzz import witness
from fuzz.calls import Call
from fuzz.interpret import evaluate
from fuzz.reference import Refused
from fuzz.transforms import Pair, build

DONE: collections.Counter[str] = collections.Counter()
# An error names an argument and what came, then says the rule, then what to write.
MESSAGE = re.compile(r"(?s)^[\w.\[\]' ]+(=| is ).+\. [A-Z].+\.$")
REFUSALS = ("cannot run this: ", "does not compute the role")


def check(call: Any) -> None:
    """Raises if the call does anything but what its documentation says."""
    if not isinstance(call, Call):
        call.check()
        DONE[type(call).__name__] += 1
        return
    try:
        pair = build(call)
    except Refused:
        _must_refuse(call)
        return
    except ValueError as error:
        if _by_name(call, error):
            return
        raise
    try:
        found = _run(call, pair)
    except ValueError as error:
        if _by_name(call, error):
            return
        raise
    _compare(call, pair, found)
    if not call.steps:
        assert found[0].dtype == call.result_dtype, found[0].dtype
    DONE[call.engine] += 1
    DONE[call.function] += 1
    if witness.compare(call, pair):
        DONE["PyTorch"] += 1


def _run(call: Call, pair: Pair) -> list[np.ndarray]:
    if call.engine == "numpy":
        return evaluate(pair.fn, *pair.args)
    fn = jax.jit(pair.fn) if call.engine == "xla" else pair.fn
    return [np.asarray(v) for v in fn(*map(jnp.asarray, pair.args))]


def _must_refuse(call: Call) -> None:
    rng = np.random.default_rng(call.seed)
    arrays = [jnp.asarray(call.draw(rng, shape)) for shape in call.shapes]
    with pytest.raises((ValueError, TypeError), match=MESSAGE):
        jax.eval_shape(call.run, *arrays)
    DONE["refused"] += 1


def _by_name(call: Call, error: ValueError) -> bool:
    """Whether the lowering asked for does not take this, and says why."""
    text, name = str(error), call.options.get("implementation")
    asked = name is not None and f"implementation={name!r}" in text
    if not (asked and any(words in text for words in REFUSALS)):
        return False
    assert MESSAGE.fullmatch(text), text
    DONE["refused by name"] += 1
    return True


# Comparing ----------------------------------------------------------------------------


def _compare(call: Call, pair: Pair, found: Sequence[np.ndarray]) -> None:
    exact = [_wide(v) for v in pair.args]
    wanted = pair.reference(*exact)
    assert len(found) == len(wanted)
    loose = [
        _error(a, b) > _tolerance(call, b) for a, b in zip(found, wanted, strict=True)
    ]
    if not any(loose):
        return
    # What cancels may leave a larger error: of all magnitudes, added up.
    sums = pair.reference(*map(np.abs, exact))
    for i, (a, b, most) in enumerate(zip(found, wanted, sums, strict=True)):
        error, allowed = _error(a, b), _tolerance(call, most)
        message = f"result {i}: off by {error:.3g}, at most {allowed:.3g}\n{a}\n{b}"
        assert error <= allowed, message


def _wide(v: np.ndarray) -> np.ndarray:
    if np.issubdtype(v.dtype, np.integer):
        return v.astype(np.int64)
    return v.astype(np.complex128 if np.iscomplexobj(v) else np.float64)


def _error(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape, f"shape {a.shape}, not {b.shape}"
    assert a.size == 0 or np.isfinite(a.astype(_wide(a).dtype)).all(), "not finite"
    return float(np.abs(_wide(a) - b).max(initial=0.0))


def _tolerance(call: Call, wanted: np.ndarray) -> float:
    """A few roundings of the largest element."""
    if jnp.issubdtype(jnp.dtype(call.dtype), jnp.integer):
        if jnp.issubdtype(call.result_dtype, jnp.integer):
            return 0.0
        eps = float(ml_dtypes.finfo(call.result_dtype).eps)
    else:
        eps = max(
            float(ml_dtypes.finfo(dtype).eps)
            for dtype in (jnp.dtype(call.dtype), call.result_dtype)
        )
    narrow = 4 if eps > 1e-4 else 64
    return narrow * eps * max(1.0, float(np.abs(wanted).max(initial=0.0)))


def report() -> dict[str, Any]:
    return dict(DONE)
