"""The parameters of each layer, and the names of layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxconv._inspect.summary import names
from jaxconv._inspect.summary.found import Product, Row
from jaxconv._inspect.summary.names import Path

Space = Mapping[int, Sequence[int]]  # the spatial axes of each input that is an image
Roots = frozenset[int]


class Source(NamedTuple):
    """An input array: part of an argument, or of the closure if the argument is -1.

    ``path`` is its path within the argument, or within the model that holds it.
    """

    name: str
    argument: int
    aval: Any
    path: Path = ()

    @property
    def size(self) -> int:
        return math.prod(self.aval.shape)


def is_parameter(array: Any) -> bool:
    """Whether an array can be trained: it is neither integer nor a random key."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


class Parameters:
    """Counts every parameter once, since shared parameters have the same roots."""

    def __init__(
        self,
        rows: Iterable[Row],
        products: Iterable[Product],
        sources: list[Source],
        space: Space,
    ) -> None:
        self._sources, self._images = sources, set(space)
        kernels: dict[Roots, int] = {}
        weights: dict[Roots, int] = {}
        for row in rows:
            self._count(kernels, self.of_row(row), self._kernel(row), row.bias)
        for product in products:
            self._count(
                weights, self.of_product(product), self._weight(product), product.bias
            )
        weights = {
            roots: size for roots, size in weights.items() if roots not in kernels
        }
        self.convolutions = self._sum(kernels)
        self.products = self._sum(weights)
        self._taken = Roots().union(*kernels, *weights)

    def _count(
        self, into: dict[Roots, int], roots: Roots, size: int, bias: int | None
    ) -> None:
        if size:
            into[roots] = into.get(roots, 0) + size
        if bias is not None:
            into[frozenset({bias})] = self._sources[bias].size

    def _sum(self, used: Mapping[Roots, int]) -> int:
        return sum(min(size, self._size(roots)) for roots, size in used.items())

    def _size(self, roots: Roots) -> int:
        return sum(self._sources[n].size for n in roots)

    # Of one layer ---------------------------------------------------------------------

    def of_row(self, row: Row) -> Roots:
        """The inputs that the kernel comes from; none if an image is among them."""
        if row.reading.windows is None or row.roots & self._images:
            return Roots()
        return row.roots

    def of_product(self, product: Product) -> Roots:
        """The inputs of the operand that is a weight: the only one without an image."""
        weights = [roots for roots in product.roots if not roots & self._images]
        return weights[0] if len(weights) == 1 else Roots()

    def size_of_row(self, row: Row) -> int:
        return self._kernel(row) + self._bias(row.bias)

    def size_of_product(self, product: Product) -> int:
        return self._weight(product) + self._bias(product.bias)

    def _kernel(self, row: Row) -> int:
        return math.prod(row.shapes[1]) * row.copies if self.of_row(row) else 0

    def _weight(self, product: Product) -> int:
        roots = self.of_product(product)
        if not roots:
            return 0
        side = product.roots.index(roots)
        return math.prod(product.shapes[side]) * product.copies[side]

    def _bias(self, bias: int | None) -> int:
        return 0 if bias is None else self._sources[bias].size

    # Of no layer ----------------------------------------------------------------------

    @property
    def everywhere(self) -> int:
        """The number of all parameters: inputs that are neither images nor integers."""
        return sum(self._sources[n].size for n in self._numbers())

    def others(self) -> dict[str, int]:
        """The numbers of parameters of no layer, by the last word of their paths."""
        found: dict[str, int] = {}
        for n in self._numbers():
            if n not in self._taken:
                source = self._sources[n]
                words = [str(key) for key in source.path if isinstance(key, str)]
                word = words[-1].lstrip(".") if words else "without a name"
                found[word] = found.get(word, 0) + source.size
        return found

    def _numbers(self) -> list[int]:
        return [
            n
            for n, source in enumerate(self._sources)
            if n not in self._images and is_parameter(source.aval)
        ]


def layer_names(
    layers: Sequence[tuple[str, str, Roots]], sources: Sequence[Source]
) -> list[str]:
    """The name of each layer, given as (name stack, kind, roots).

    It is the path of the module that has the parameters, else the stack, else the kind.
    """
    scopes = names.without_common([names.scope(stack) for stack, _, _ in layers])
    found: list[str] = []
    for scope, (_, kind, roots) in zip(scopes, layers, strict=True):
        paths = [sources[n].path for n in sorted(roots)]
        path = names.module(paths) if paths else ()
        if names.is_named(path):
            found.append(names.written(path))
        elif path and (names.is_named(paths[0]) or not scope):
            argument = sources[min(roots)].name.partition("[")[0]
            found.append(argument + names.written(path))
        else:
            found.append(scope or kind)
    return found
