"""Which parameters belong to which layer, and what the layers are called."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxconv._inspect.summary import names
from jaxconv._inspect.summary.found import Product, Row
from jaxconv._inspect.summary.names import Path

Space = Mapping[int, Sequence[int]]  # the axes of space of each input that is an image
Roots = frozenset[int]


class Source(NamedTuple):
    """An array that the function is given or, as argument -1, has in its closure.

    ``path`` leads to it in its argument, or in the model that holds it.
    """

    name: str
    argument: int
    aval: Any
    path: Path = ()

    @property
    def size(self) -> int:
        return math.prod(self.aval.shape)


def is_parameter(array: Any) -> bool:
    """Whether training could change it, which integers and keys do not allow."""
    return jnp.issubdtype(array.dtype, jnp.inexact)


class Parameters:
    """Counts every parameter once; what several layers share has the same roots."""

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
        """What the kernel comes from; nothing where an image has a part in it."""
        if row.reading.windows is None or row.roots & self._images:
            return Roots()
        return row.roots

    def of_product(self, product: Product) -> Roots:
        """What the weights come from: the operand without an image, beside one."""
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

    # Of none --------------------------------------------------------------------------

    @property
    def everywhere(self) -> int:
        """All of them, to which no image and no whole number belongs."""
        return sum(self._sources[n].size for n in self._numbers())

    def others(self) -> dict[str, int]:
        """Those of no layer, by the last word of their paths."""
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
    """For (name stack, kind, roots) the module's path, else the stack or the kind."""
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
