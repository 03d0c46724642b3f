"""Deformable convolution against its loops: values, gradients by the adjoint, vmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from hypothesis import strategies as st

import jaxconv
import oracle
from deform_cases import Case, last
from fuzz.lax_calls import run
from oracle import Ints, windows

Draw = Any


@dataclass(frozen=True)
class DeformCall:
    """A call of deform_conv; ``what`` is taken of it."""

    case: tuple[Any, ...]  # n, inputs, outputs, groups, offset groups, and the windows
    what: str = "value"
    channels_last: bool = False
    masked: bool = True
    implementation: str | None = None
    engine: str = "numpy"
    seed: int = 0

    def check(self) -> None:
        case = Case("drawn", *self.case)
        v = case.operands(np.random.default_rng(self.seed))
        if not self.masked:
            v["mask"] = np.ones_like(v["mask"])
        wanted = case.expected(v)
        names = tuple(v)
        args = [last(v[k], k) if self.channels_last else v[k] for k in names]
        options = {**case.options, "implementation": self.implementation}
        if self.channels_last:
            options["layout"] = "channels_last"

        def call(*arrays: Any) -> Any:
            given = dict(zip(names, arrays, strict=True))
            mask = given.pop("mask")
            options["mask"] = mask if self.masked else None
            return jaxconv.deform_conv(*given.values(), **options)

        if self.what == "value":
            (found,) = run(lambda *a: [call(*a)], args, self.engine)
        else:
            wanted, found = self._gradient(case, v, call, args)
        if self.channels_last:
            found = np.moveaxis(found, -1, 1)
        most = 1e-11 * max(1.0, float(np.abs(wanted).max(initial=0.0)))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=most)

    def _gradient(self, case: Case, v: Any, call: Any, args: Any) -> Any:
        """That for x, which is what the transposed call gives."""
        ct = np.random.default_rng(self.seed + 1).standard_normal(
            case.expected(v).shape
        )
        given = last(ct) if self.channels_last else ct

        def pull(*a: Any) -> Any:
            return list(jax.vjp(lambda x: call(x, *a[1:]), a[0])[1](given))

        wanted = oracle.deform_conv_transpose(
            ct,
            v["offset"],
            v["kernel"],
            v["mask"],
            case.size,
            case.groups,
            **case.steps,
        )
        return wanted, run(pull, args, self.engine)[0]


@st.composite
def deform_calls(draw: Draw, engines: tuple[str, ...] = ("numpy",)) -> DeformCall:
    ndim = draw(st.sampled_from((1, 2, 2, 3)))

    def ints(least: int, most: int) -> Ints:
        return tuple(draw(st.integers(least, most)) for _ in range(ndim))

    n, per, groups, o = (draw(st.integers(1, 2)) for _ in range(4))
    inputs = per * groups
    count = draw(st.sampled_from([g for g in (1, 2, 4) if inputs % g == 0]))
    size, k = ints(1, 4), ints(1, 3 if ndim == 1 else 2)
    stride, dilation, low, high = ints(1, 3), ints(1, 2), ints(0, 2), ints(0, 2)
    if min(map(windows, size, k, stride, dilation, low, high)) < 1:
        size, dilation = (
            tuple(max(a, b) for a, b in zip(size, k, strict=True)),
            (1,) * ndim,
        )
    case = (n, inputs, o * groups, groups, count, size, k, stride, low, dilation, high)
    return DeformCall(
        case,
        draw(st.sampled_from(("value", "gradient"))),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.sampled_from((None, "columns", "chunks"))),
        draw(st.sampled_from(engines)),
        draw(st.integers(0, 999)),
    )
