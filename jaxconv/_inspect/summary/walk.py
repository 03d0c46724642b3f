"""Interprets a jaxpr: records every convolution, and what each value depends on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jax.extend.core import JaxprEqn, Literal

from jaxconv._core.calls import called, inside
from jaxconv._core.spec import Shape
from jaxconv._inspect.summary import control as _control
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary.convolve import convolve
from jaxconv._inspect.summary.found import Constant, Lost, Product, Row, Value
from jaxconv._inspect.summary.read import CONVOLUTIONS, moved_bytes, read
from jaxconv._inspect.summary.rules import RULES
from jaxconv._inspect.summary.seen import NOTHING, Equation, Seen
from jaxconv._inspect.summary.views import Axis

LARGEST = 2**20  # elements of the largest constant that is evaluated
# Operations that only arrange a value: a bias after them is still recognised as one.
ARRANGING = frozenset(
    """
    broadcast_in_dim convert_element_type copy name reshape rev squeeze transpose
    """.split()
)


@dataclass
class Walk:
    """The interpreter and its records.

    ``path``, ``names``, ``times`` and ``notes`` belong to the jaxpr that is currently
    interpreted; a path of equations identifies a convolution.
    """

    platform: str
    shapes: list[Shape]  # of the inputs, constants among them
    rows: dict[tuple[int, ...], Row] = field(default_factory=dict)
    lost: dict[tuple[int, ...], Lost] = field(default_factory=dict)
    products: dict[tuple[int, ...], Product] = field(default_factory=dict)
    labels: dict[Axis, int] = field(default_factory=dict)
    path: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    times: int = 1
    notes: frozenset[str] = frozenset()
    held: dict[int, Value] = field(default_factory=dict)  # the model's arrays, by id
    images: dict[int, set[int]] = field(default_factory=dict)  # inputs' spatial axes
    fresh: itertools.count[int] = field(default_factory=itertools.count)

    def run(
        self, jaxpr: Any, args: Sequence[Value], consts: Sequence[Value] | None = None
    ) -> list[Value]:
        """The results of a jaxpr, closed or open, for these arguments."""
        if consts is None:
            consts = [self._const(c) for c in getattr(jaxpr, "consts", ())]
        jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
        env: dict[Any, Value] = dict(zip(jaxpr.constvars, consts, strict=False))
        env |= zip(jaxpr.invars, args, strict=True)

        def look(var: Any) -> Value:
            return constant(var.val) if isinstance(var, Literal) else env[var]

        for eqn in jaxpr.eqns:
            results = self._step(eqn, [look(var) for var in eqn.invars])
            env |= zip(eqn.outvars, results, strict=True)
        return [look(var) for var in jaxpr.outvars]

    def inside(
        self, eqn: JaxprEqn, jaxpr: Any, args: Sequence[Value], *, part: int = 0,
        times: int = 1, note: str | None = None,
    ) -> list[Value]:  # fmt: skip
        """The results of a jaxpr that is a part of an equation and runs ``times``."""
        before = self.path, self.names, self.times, self.notes
        self.path += (id(eqn), part)
        self.names += tuple(_scope(eqn))
        self.times *= times
        self.notes |= {note} if note else set[str]()
        try:
            return self.run(jaxpr, args)
        finally:
            self.path, self.names, self.times, self.notes = before

    def _step(self, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
        handler = _control.HANDLERS.get(eqn.primitive.name)
        call = called(eqn, values)
        if handler is not None:
            results = handler(self, eqn, values)
        elif call is not None:
            results = self.inside(eqn, *call)
        else:
            results = self._apply(eqn, values)
        outs = [getattr(v.aval, "shape", ()) for v in eqn.outvars]
        return [replace(v, shape=s) for v, s in zip(results, outs, strict=True)]

    def _apply(self, eqn: JaxprEqn, values: list[Value]) -> list[Value]:
        seens = [v.seen for v in values]
        eq = self._equation(eqn, values)
        row = None
        if eqn.primitive in CONVOLUTIONS:
            found, row = [self._convolution(eqn, eq, values)], self._here(eqn)
        else:
            found = self._ruled(eqn, eq, seens)
        computed = _computed(eqn, values)
        if eqn.primitive.name == "dot_general":
            self._product(eqn, eq, values)
            row = self._here(eqn)
        if eqn.primitive.name in ("add", "add_any"):
            self._bias(values)
        kept = values[0] if eqn.primitive.name in ARRANGING else Value(())
        return [
            Value((), seen, held, kept.leaf, row or kept.row)
            for seen, held in zip(found, computed, strict=True)
        ]

    def _ruled(self, eqn: JaxprEqn, eq: Equation, seens: list[Seen]) -> list[Seen]:
        name, count = eqn.primitive.name, len(eqn.outvars)
        rule = RULES.get(name)
        if rule is None:
            return [self.unknown(eqn, seens)] * count
        found = rule(eq, *seens)
        many = found if isinstance(found, list) else [found] * count
        for seen in many:
            if _reasons(seen) - set[str]().union(*map(_reasons, seens)):
                self.lost[self._here(eqn)] = Lost(name, self._name(eqn))
        return many

    def unknown(self, eqn: JaxprEqn, seens: Sequence[Seen]) -> Seen:
        """The result of an operation without a rule; records convolutions inside."""
        for part, (jaxpr, _) in enumerate(inside(eqn)):
            jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
            args = [Value(getattr(v.aval, "shape", ())) for v in jaxpr.invars]
            self.inside(eqn, jaxpr, args, part=part)
        seen = _seen.unknown(seens, eqn.primitive.name)
        if any(not view.whole for views in seen.values() for view in views):
            self.lost[self._here(eqn)] = Lost(eqn.primitive.name, self._name(eqn))
        return seen

    def _equation(self, eqn: JaxprEqn, values: list[Value]) -> Equation:
        def value_of(operand: int) -> np.ndarray | None:
            value = values[operand]
            if value.known is None or np.prod(value.shape, dtype=float) > LARGEST:
                return None
            return np.asarray(value.known.value())

        outputs = [getattr(v.aval, "shape", ()) for v in eqn.outvars]
        inputs = [v.shape for v in values]
        return Equation(eqn.params, inputs, outputs, self.labels, value_of)

    def _here(self, eqn: JaxprEqn) -> tuple[int, ...]:
        return (*self.path, id(eqn))

    def _name(self, eqn: JaxprEqn) -> str:
        return "/".join((*self.names, *_scope(eqn)))

    def _const(self, const: Any) -> Value:
        """A constant of an inner jaxpr, which may be an array of the model."""
        return self.held.get(id(const)) or constant(const)

    # What is collected ----------------------------------------------------------------

    def _convolution(self, eqn: JaxprEqn, eq: Equation, values: list[Value]) -> Seen:
        reading = read(eqn, self.platform)
        seen = convolve(eq, reading, values[0].seen, values[1].seen)
        kernel = values[1].seen
        space = reading.result_axes[2:] if reading.windows is not None else ()
        for source, views in seen.items():
            axes = (axis for axis, view in enumerate(views) if view.axes & set(space))
            self.images.setdefault(source, set()).update(axes)
        aval: Any = eqn.outvars[0].aval
        self.rows[self._here(eqn)] = Row(
            reading,
            self._name(eqn),
            (eq.inputs[0], eq.inputs[1], eq.outputs[0]),
            np.dtype(aval.dtype).name,
            moved_bytes(eqn),
            self.times,
            seen,
            space,
            self._roots(eqn, values[1]),
            self._copies(kernel),
            None,
            self.notes,
        )
        return seen

    def _roots(self, eqn: JaxprEqn, value: Value) -> frozenset[int]:
        """The inputs that an operand is computed from, if it can be a weight.

        In a gradient, an operand that is no input itself is a cotangent.
        """
        if value.leaf is not None:
            return frozenset({value.leaf})
        return frozenset() if "transpose(" in self._name(eqn) else frozenset(value.seen)

    def _copies(self, seen: Seen) -> int:
        """The number of slices of its inputs that a value is, over all scan steps."""
        labels = {a for views in seen.values() for v in views for a in v.axes}
        return math.prod(self.labels[a] for a in labels if a in self.labels)

    def _bias(self, values: list[Value]) -> None:
        """Records a bias: a vector added to a layer's result, one entry per channel."""
        for one, two in (values, values[::-1]):
            if two.leaf is None or one.row is None:
                continue
            size = math.prod(self.shapes[two.leaf])
            row, product = self.rows.get(one.row), self.products.get(one.row)
            if row and size == row.shapes[2][row.reading.result_axes[1]]:
                self.rows[one.row] = row._replace(bias=two.leaf)
            if product and size in product.shapes[2]:
                self.products[one.row] = product._replace(bias=two.leaf)

    def _product(self, eqn: JaxprEqn, eq: Equation, values: list[Value]) -> None:
        (summed, _), _ = eqn.params["dimension_numbers"]
        depth = math.prod(eq.inputs[0][axis] for axis in summed)
        aval: Any = eqn.outvars[0].aval
        left, right = (value.seen for value in values)
        self.products[self._here(eqn)] = Product(
            self._name(eqn),
            (eq.inputs[0], eq.inputs[1], eq.outputs[0]),
            np.dtype(aval.dtype).name,
            moved_bytes(eqn),
            self.times,
            math.prod(eq.outputs[0]) * depth,
            (self._roots(eqn, values[0]), self._roots(eqn, values[1])),
            (self._copies(left), self._copies(right)),
        )


def _reasons(seen: Seen) -> set[str]:
    return {reason for views in seen.values() for v in views for reason in v.unknown}


def _scope(eqn: JaxprEqn) -> list[str]:
    stack = str(eqn.source_info.name_stack)
    return [stack] if stack else []


def known(value: Any) -> Constant:
    return Constant(lambda: value)


def constant(value: Any) -> Value:
    return Value(np.shape(value), NOTHING, known(value))


def _computed(eqn: JaxprEqn, values: list[Value]) -> Sequence[Constant | None]:
    """The results as constants, if all operands are."""
    constants = [v.known for v in values]
    if eqn.effects or any(constant is None for constant in constants):
        return [None] * len(eqn.outvars)

    def compute() -> Sequence[Any]:
        operands = [constant.value() for constant in constants if constant is not None]
        with jax.ensure_compile_time_eval():
            found = eqn.primitive.bind(*operands, **eqn.params)
        return found if eqn.primitive.multiple_results else [found]

    all_of_them = Constant(compute)
    return [
        Constant(lambda index=index: all_of_them.value()[index])
        for index in range(len(eqn.outvars))
    ]
