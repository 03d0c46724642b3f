"""One table of geometries, which every test file goes through.

Sizes are pairwise different, so that no two axes can be taken for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import oracle
from jaxconv._core import spec as _spec
from jaxconv._core.contract import contract
from jaxconv._core.geometry import Geometry
from jaxconv._core.spec import OPERANDS, Layout, Spec

ROLES = ("output", "input", "kernel")
LAYOUTS = ("channels_first", "channels_last")
Ints = tuple[int, ...]


class Case(NamedTuple):
    """A named geometry with batch, groups, and channels per group in and out."""

    name: str
    window: oracle.Window
    n: int
    groups: int
    c: int
    o: int

    @property
    def ndim(self) -> int:
        return len(self.window.kernel)

    def spec(
        self,
        role: str,
        layout: str = "channels_first",
        dtype: Any = np.float64,
        lowering: str | None = None,
    ) -> Spec:
        geometry = Geometry(*self.window)
        return Spec(
            role,
            geometry,
            self.groups,
            Layout(layout),
            np.dtype(dtype),
            lowering=lowering,
        )

    def shape(self, operand: str) -> Ints:
        """Channels first."""
        shapes = {
            "input": (self.n, self.groups * self.c, *self.window.input),
            "output": (self.n, self.groups * self.o, *self.window.output),
            "kernel": (self.groups * self.o, self.c, *self.window.kernel),
        }
        return shapes[operand]

    def terms(self, role: str) -> int:
        """At most so many products are added up in one element of the result."""
        taps = int(np.prod(self.window.kernel))
        positions = int(np.prod(self.window.output))
        summed = {"output": self.c * taps, "input": self.o * taps}
        return {**summed, "kernel": self.n * positions}[role]

    def operands(
        self, role: str, rng: np.random.Generator, dtype: Any = np.float64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two random operands of a role, channels first."""
        first, second = OPERANDS[role]
        return self.draw(first, rng, dtype), self.draw(second, rng, dtype)

    def draw(
        self, operand: str, rng: np.random.Generator, dtype: Any = np.float64
    ) -> np.ndarray:
        return random(rng, self.shape(operand), dtype)

    def expected(self, role: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return oracle.contract(role, a, b, self.window, self.groups)


def described(case: Case, role: str, dtype: Any, name: str | None = None) -> _spec.Case:
    """What a lowering is asked about."""
    spec = case.spec(role, "channels_last", dtype, name)
    sizes = _spec.Sizes(case.n, case.c, case.o)
    return _spec.Case(spec, sizes, np.dtype(dtype))


def contract_all(
    cases: Sequence[Case], role: str, layout: str, rng: np.random.Generator, *by: Any
) -> None:
    """All cases as one program, which compiles sooner than each, against the loops.

    In float64, where a wrong border cannot hide behind rounding; ``by`` is a lowering.
    """
    operands = [case.operands(role, rng) for case in cases]
    specs = [case.spec(role, layout, np.float64, *by) for case in cases]

    @jax.jit
    def every(pairs: Any) -> Any:
        each = zip(pairs, specs, strict=True)
        return [contract(a, b, spec) for (a, b), spec in each]

    first, second = OPERANDS[role]
    results = every(
        [(arrange(a, first, layout), arrange(b, second, layout)) for a, b in operands]
    )
    wrong: list[str] = []
    for case, pair, out in zip(cases, operands, results, strict=True):
        exact = arrange(case.expected(role, *pair), role, layout)
        try:
            assert out.dtype == np.float64
            oracle.close(out, exact, case.terms(role), np.float64)
        except AssertionError as error:
            wrong.append(f"{case.name}: {error}")
    assert not wrong, "\n".join(wrong)


def random(
    rng: np.random.Generator, shape: Ints, dtype: Any = np.float64
) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        return rng.integers(-9, 10, shape).astype(dtype)
    values = rng.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * rng.standard_normal(shape)
    return values.astype(dtype)


def arrange(v: Any, operand: str, layout: str) -> Any:
    """A channels-first operand in another layout."""
    if layout == "channels_first":
        return v
    space = tuple(range(2, v.ndim))
    return (
        v.transpose(*space, 1, 0) if operand == "kernel" else v.transpose(0, *space, 1)
    )


def _case(
    name: str,
    channels: tuple[int, int, int, int],
    input: Ints,
    kernel: Ints,
    low: Ints,
    high: Ints,
    stride: Ints | None = None,
    dilation: Ints | None = None,
) -> Case:
    """As many outputs as windows fit; ``channels`` is n, groups, c, o."""
    stride, dilation = stride or (1,) * len(kernel), dilation or (1,) * len(kernel)
    output = tuple(map(oracle.windows, input, kernel, stride, dilation, low, high))
    window = oracle.Window(input, kernel, output, stride, dilation, low)
    return Case(name, window, *channels)


def _free(name: str, channels: tuple[int, int, int, int], *window: Ints) -> Case:
    """Any number of outputs: input, kernel, output, stride, dilation, low."""
    return Case(name, oracle.Window(*window), *channels)


_LINES = (
    _case("line", (2, 1, 3, 5), (11,), (4,), (2,), (1,)),
    _case(
        "line strided and dilated", (2, 1, 3, 4), (17,), (3,), (4,), (1,), (2,), (3,)
    ),
    _case("line causal", (2, 1, 4, 3), (9,), (3,), (4,), (0,), (1,), (2,)),
    _case("line shifted causal", (3, 1, 4, 5), (9,), (2,), (2,), (0,)),
    _case("line grouped", (2, 3, 2, 4), (13,), (5,), (1,), (3,), (2,)),
    _case("line depthwise", (3, 4, 1, 2), (10,), (7,), (3,), (2,)),
    _free("line kept zeros", (2, 1, 3, 4), (10,), (2,), (3,), (1,), (4,), (0,)),
    _free("line one tap shifted", (2, 1, 5, 4), (6,), (1,), (4,), (1,), (3,), (1,)),
)
_PLANES = (
    _case("plane", (2, 1, 3, 4), (7, 6), (3, 2), (1, 0), (1, 1)),
    _case("strided", (3, 1, 2, 5), (9, 8), (3, 4), (1, 2), (0, 1), (2, 3)),
    _case("dilated", (2, 1, 4, 3), (11, 9), (3, 2), (2, 1), (1, 2), None, (2, 3)),
    _case("everything", (2, 2, 2, 3), (12, 11), (3, 2), (3, 1), (1, 2), (2, 3), (2, 1)),
    _case(
        "stride meets dilation",
        (2, 1, 3, 2),
        (13, 11),
        (3, 4),
        (2, 0),
        (3, 2),
        (3, 2),
        (2, 3),
    ),
    _case("grouped", (2, 3, 2, 4), (8, 7), (3, 2), (1, 1), (1, 0)),
    _case("grouped strided", (2, 4, 3, 2), (9, 11), (3, 5), (0, 2), (1, 1), (2, 3)),
    _case("depthwise", (2, 5, 1, 1), (8, 6), (4, 3), (1, 2), (2, 0)),
    _case("depthwise with multiplier", (3, 4, 1, 2), (7, 9), (2, 3), (1, 0), (0, 2)),
    _case(
        "depthwise strided and dilated",
        (2, 3, 1, 2),
        (12, 9),
        (2, 3),
        (1, 2),
        (2, 1),
        (3, 2),
        (3, 2),
    ),
    _case("groups of many to one", (2, 3, 4, 1), (6, 7), (2, 3), (0, 1), (1, 1)),
    _case("one by one", (3, 1, 5, 4), (6, 7), (1, 1), (0, 0), (0, 0)),
    _case("one by one strided", (2, 1, 4, 3), (9, 8), (1, 1), (0, 0), (0, 0), (3, 2)),
    _case("one by one padded", (2, 2, 2, 3), (5, 6), (1, 1), (1, 2), (2, 0), (1, 2)),
    _case("stride past kernel", (2, 1, 3, 4), (11, 10), (2, 1), (1, 0), (0, 1), (3, 4)),
    _case("floor remainder", (2, 1, 3, 5), (13, 11), (3, 4), (0, 0), (0, 0), (4, 5)),
    _case("kernel is input", (3, 1, 2, 6), (4, 5), (4, 5), (0, 0), (0, 0)),
    _case("oversized low", (2, 1, 4, 3), (6, 7), (3, 2), (4, 3), (0, 1)),
    _case(
        "oversized low strided", (2, 2, 2, 3), (7, 6), (2, 3), (4, 5), (1, 2), (2, 3)
    ),
    _case("oversized high", (2, 1, 3, 2), (5, 6), (2, 3), (0, 1), (4, 5), (3, 2)),
    _case("windows in padding", (2, 1, 3, 4), (4, 3), (2, 3), (5, 4), (6, 3), (1, 2)),
    _case("cropped", (2, 1, 3, 4), (9, 10), (2, 3), (-2, -1), (1, -2)),
    _case(
        "cropped strided",
        (2, 1, 4, 2),
        (11, 12),
        (3, 2),
        (-3, -1),
        (2, 0),
        (2, 3),
        (1, 2),
    ),
    _case("many channels", (2, 1, 19, 17), (6, 5), (3, 2), (1, 0), (1, 1)),
    _case(
        "many channels strided", (1, 1, 18, 20), (7, 8), (3, 4), (1, 2), (1, 1), (2, 3)
    ),
    _free("kept zeros", (2, 1, 3, 4), (11, 9), (3, 2), (4, 3), (1, 2), (2, 5), (1, 0)),
    _free("only padding", (2, 1, 3, 4), (3, 5), (2, 3), (2, 4), (1, 2), (1, 1), (6, 1)),
    _free(
        "past the input", (2, 1, 3, 4), (4, 5), (2, 3), (2, 3), (1, 2), (1, 1), (-5, 0)
    ),
    _free(
        "straddles the input",
        (2, 1, 3, 4),
        (3, 6),
        (2, 3),
        (1, 4),
        (1, 1),
        (7, 1),
        (4, 0),
    ),
    _free("dcgan", (2, 1, 5, 3), (8, 10), (4, 4), (4, 5), (2, 2), (1, 1), (1, 1)),
    _case("zero batch", (0, 2, 2, 3), (6, 5), (3, 2), (1, 0), (0, 1), (2, 1)),
)
_VOLUMES = (
    _case("volume", (2, 1, 3, 4), (5, 6, 4), (2, 3, 1), (1, 0, 0), (0, 1, 0)),
    _case(
        "volume strided",
        (1, 2, 2, 3),
        (6, 5, 7),
        (3, 2, 4),
        (1, 1, 2),
        (1, 0, 1),
        (2, 1, 3),
    ),
    _case(
        "volume depthwise",
        (2, 3, 1, 2),
        (5, 4, 6),
        (2, 3, 3),
        (0, 1, 2),
        (1, 1, 1),
        (1, 2, 1),
        (2, 1, 1),
    ),
    _case(
        "four axes",
        (2, 1, 2, 3),
        (4, 5, 3, 6),
        (2, 1, 3, 2),
        (1, 0, 1, 0),
        (0, 0, 1, 1),
        (1, 2, 1, 3),
    ),
    _case(
        "four axes grouped",
        (2, 2, 1, 2),
        (3, 4, 5, 2),
        (2, 3, 2, 1),
        (0, 1, 2, 0),
        (1, 0, 1, 0),
        (2, 1, 1, 1),
        (1, 1, 2, 1),
    ),
)
CASES = (*_LINES, *_PLANES, *_VOLUMES)


def named(*names: str) -> Sequence[Case]:
    found = [case for case in CASES if case.name in names]
    assert len(found) == len(names), names
    return found


def over_cases(cases: Sequence[Case] = CASES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


over_roles = pytest.mark.parametrize("role", ROLES)
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)
