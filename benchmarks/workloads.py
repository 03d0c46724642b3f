"""What is measured: convolutions of known models and of public performance reports.

Each workload has three cells, one per role: the forward pass, the gradient with respect
to the input and the gradient with respect to the kernel.  No jax here: the worker that
runs PyTorch imports this too.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

FAMILIES = ("dense", "depthwise", "grouped", "transposed", "3d", "1d")
ROLES = ("forward", "input", "kernel")
TITLES = {
    "forward": "forward",
    "input": "input gradient",
    "kernel": "kernel gradient",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """One convolution; sizes as PyTorch's arguments, one per axis.

    ``padding`` holds (low, high) pairs.  ``context`` says where the convolution stands:
    "plain"; "scan", in a loop over ``count`` inputs with one kernel; "vmap", mapped
    over ``count`` inputs with a kernel each.  ``slow`` names the roles which plain JAX
    is known to need more than 5 s for.
    """

    name: str
    batch: int
    space: Ints
    c_in: int
    c_out: int
    kernel: Ints
    stride: Ints
    padding: Pairs
    dilation: Ints
    groups: int
    output_padding: Ints
    transposed: bool
    dtype: str
    context: str
    count: int
    slow: tuple[str, ...]
    default: bool
    layout: str = "channels_first"
    padding_mode: str = "zeros"

    @property
    def family(self) -> str:
        """The name's first word."""
        return self.name.split()[0]

    @property
    def out_space(self) -> Ints:
        """Spatial size of the forward result."""
        axes = zip(
            self.space,
            self.kernel,
            self.stride,
            self.padding,
            self.dilation,
            self.output_padding,
            strict=True,
        )
        if self.transposed:
            return tuple(
                (i - 1) * s - lo - hi + d * (k - 1) + op + 1
                for i, k, s, (lo, hi), d, op in axes
            )
        return tuple(
            (i + lo + hi - d * (k - 1) - 1) // s + 1 for i, k, s, (lo, hi), d, _ in axes
        )

    @property
    def shapes(self) -> dict[str, Ints]:
        """Shapes of the input x, the kernel w and the result y."""
        many = () if self.context == "plain" else (self.count,)
        each = many if self.context == "vmap" else ()
        first, second = (
            (self.c_in, self.c_out // self.groups)
            if self.transposed
            else (self.c_out, self.c_in // self.groups)
        )
        if self.layout == "channels_last":
            return {
                "x": (*many, self.batch, *self.space, self.c_in),
                "w": (*each, *self.kernel, second, first),
                "y": (*many, self.batch, *self.out_space, self.c_out),
            }
        return {
            "x": (*many, self.batch, self.c_in, *self.space),
            "w": (*each, first, second, *self.kernel),
            "y": (*many, self.batch, self.c_out, *self.out_space),
        }

    def terms(self, role: str) -> int:
        """How many products one element of a role's result adds up, at most."""
        taps = math.prod(self.kernel)
        if role == "forward":
            return self.c_in // self.groups * taps
        if role == "input":
            return self.c_out // self.groups * taps
        summed = self.count if self.context == "scan" else 1
        positions = self.space if self.transposed else self.out_space
        return summed * self.batch * math.prod(positions)

    def arrays(self) -> dict[str, np.ndarray]:
        """Operands in float32 or float64, seeded by the name: equal in every peer."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        dtype = np.float64 if self.dtype == "float64" else np.float32
        return {
            letter: rng.random(shape, dtype) * 2 - 1
            for letter, shape in self.shapes.items()
        }

    def described(self) -> dict[str, Any]:
        """Everything that the numbers depend on, for the result file."""
        hidden = {"name", "slow", "default"}
        return {k: v for k, v in asdict(self).items() if k not in hidden}


def workload(
    name: str,
    batch: int,
    space: int | Ints,
    c_in: int,
    c_out: int,
    kernel: int | Ints,
    stride: int | Ints = 1,
    padding: int | Ints | Pairs = 0,
    dilation: int | Ints = 1,
    groups: int = 1,
    output_padding: int | Ints = 0,
    *,
    dtype: str = "float32",
    context: str = "plain",
    count: int = 1,
    slow: tuple[str, ...] = (),
    default: bool = True,
    layout: str = "channels_first",
    padding_mode: str = "zeros",
) -> Workload:
    """A workload from short arguments: an int stands for one per axis.

    ``space`` says how many axes there are.
    """
    family, *_ = name.split()
    if family not in FAMILIES:
        raise ValueError(f"{name!r}: the first word must be one of {FAMILIES}")
    sizes = (space,) if isinstance(space, int) else space

    def per_axis(value: Any) -> Any:
        return (value,) * len(sizes) if isinstance(value, int) else value

    pads = per_axis(padding)
    return Workload(
        name,
        batch,
        sizes,
        c_in,
        c_out,
        per_axis(kernel),
        per_axis(stride),
        tuple((p, p) if isinstance(p, int) else p for p in pads),
        per_axis(dilation),
        groups,
        per_axis(output_padding),
        family == "transposed",
        dtype,
        context,
        count,
        slow,
        default,
        layout,
        padding_mode,
    )


def described_workload(name: str, arguments: dict[str, Any]) -> Workload:
    """The workload of a result file, from its name and what `described` wrote."""

    def fixed(value: Any) -> Any:
        return tuple(map(fixed, value)) if isinstance(value, list) else value

    given = {key: fixed(value) for key, value in arguments.items()}
    return Workload(name=name, slow=(), default=True, **given)
