"""What every snippet is written from: the call in numbers, and calls as text."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxconv._border.arguments import Pairs
from jaxconv._border.call import MODES, Setup
from jaxconv._core.geometry import Ints, span

LINE = 72  # characters of a call on one line


class Call(NamedTuple):
    """A call as the snippets need it: sizes of space, and what the user asked for."""

    setup: Setup
    pads: Pairs  # low and high, as asked for
    output_padding: Ints

    @property
    def transposed(self) -> bool:
        return self.setup.spec.role == "input"

    @property
    def filled(self) -> bool:
        return self.setup.mode != "zeros"

    @property
    def even(self) -> bool:
        """Padding that PyTorch takes: the same on both sides."""
        return all(lo == hi for lo, hi in self.pads)

    @property
    def size(self) -> Ints:
        """Spatial size of the result."""
        geometry = self.setup.spec.geometry
        if not self.transposed:
            return geometry.output
        around = self.pads if self.filled else ((0, 0),) * geometry.ndim
        sizes = zip(geometry.input, around, strict=True)
        return tuple(i - lo - hi for i, (lo, hi) in sizes)

    @property
    def border(self) -> Pairs:
        """Zeros around the stretched input: d(k-1) - padding, and output_padding."""
        geometry = self.setup.spec.geometry
        spans = map(span, geometry.kernel, geometry.dilation)
        return tuple(
            (n - 1 - lo, n - 1 - hi + op)
            for n, (lo, hi), op in zip(
                spans, self.pads, self.output_padding, strict=True
            )
        )

    @property
    def crop(self) -> str:
        """The slice of space that low padding and the size leave of a whole result."""
        pairs = zip(self.pads, self.size, strict=True)
        cuts = [f"{lo}:{lo + n}" for (lo, _), n in pairs]
        return f"y[..., {', '.join(cuts)}]"

    @property
    def spread(self) -> dict[str, Any]:
        """Stride, dilation and groups, None where they are not needed."""
        geometry, groups = self.setup.spec.geometry, self.setup.spec.groups
        return {
            "stride": unless(geometry.stride, 1),
            "dilation": unless(geometry.dilation, 1),
            "groups": groups if groups > 1 else None,
        }

    @property
    def padding(self) -> Any:
        """One entry an axis where both sides are the same, as PyTorch takes it."""
        if self.even:
            return unless(tuple(lo for lo, _ in self.pads), 0)
        return self.pads

    @property
    def mode(self) -> str:
        """NumPy's word for what padding holds."""
        return MODES.get(self.setup.mode, "constant")

    @property
    def first(self) -> str:
        """The slice of the convolution's outputs that its transpose takes.

        It is needed only if output_padding makes the convolution have more outputs.
        """
        geometry = self.setup.spec.geometry
        rests = zip(self.output_padding, geometry.stride, strict=True)
        if all(op < s for op, s in rests):
            return ""
        return f"[:, :, {', '.join(f':{n}' for n in geometry.output)}]"

    @property
    def channels(self) -> tuple[int, int]:
        """Channels of x and of the result."""
        return self.setup.shape[1], self.setup.outputs

    @property
    def kernel(self) -> Ints:
        """Shape of the kernel, channels first."""
        geometry, groups = self.setup.spec.geometry, self.setup.spec.groups
        inputs, outputs = self.channels
        if self.transposed:
            return (inputs, outputs // groups, *geometry.kernel)
        return (outputs, inputs // groups, *geometry.kernel)

    @property
    def inner(self) -> Ints:
        """Shape of the result."""
        return (self.setup.shape[0], self.setup.outputs, *self.size)


class Code(str):
    """An argument that is written as it is."""

    __slots__ = ()

    __repr__ = str.__str__


def program(call: Call, imports: str, body: str) -> str:
    """A whole program: imports, random operands, the call and a print of the shape."""
    return f"""\
{imports}

rng = np.random.default_rng(0)
x = rng.standard_normal({call.setup.shape}, np.float32)
kernel = rng.standard_normal({call.kernel}, np.float32)
{body}
print(y.shape)  # {call.inner}"""


def padded(call: Call) -> str:
    """A line that pads x, channels last."""
    widths = [(0, 0), *call.pads, (0, 0)]
    return f"x = {called('jnp.pad', 'x', str(widths), mode=call.mode)}"


def unless(entries: Ints, usual: int) -> Ints | None:
    """Entries, or None where all are what they are by default."""
    return None if set(entries) == {usual} else entries


def called(first: str, /, *positional: str, **named: Any) -> str:
    """A call, one argument a line if it is long; what is None is left out."""
    words = [f"{key}={value!r}" for key, value in named.items() if value is not None]
    parts = [*positional, *words]
    short = f"{first}({', '.join(parts)})"
    if len(short) <= LINE and "\n" not in short:
        return short
    lines = "".join(f"    {part},\n".replace("\n ", "\n     ") for part in parts)
    return f"{first}(\n{lines})"
