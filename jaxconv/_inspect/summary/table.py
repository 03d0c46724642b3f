"""A summary as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxconv._ops.arithmetic import ReceptiveField

if TYPE_CHECKING:
    from jaxconv._inspect.summary.report import Layer, Summary

HEADS = (
    "", "convolution", "window", "image", "result", "params", "mult-adds", "valid",
    "bytes", "flop/B", "sees", "every", "from", "lowering",
)  # fmt: skip
LEFT = {1, 2, 3, 4, 13}
NAME = 26  # characters of a layer's name


def table(summary: Summary) -> str:
    if not summary.layers:
        return "no convolutions"
    first = next(iter(summary.inputs), None)
    rows = [_row(i, layer, first) for i, layer in enumerate(summary.layers, start=1)]
    rows.append(_total(summary))
    widths = [max(map(len, column)) for column in zip(HEADS, *rows, strict=True)]
    lines = [_line(HEADS, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
    lines += [_line(row, widths) for row in rows]
    return "\n".join([*lines, *_remarks(summary, first)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column in LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def _row(index: int, layer: Layer, image: str | None) -> tuple[str, ...]:
    name = layer.name if len(layer.name) <= NAME else "…" + layer.name[1 - NAME :]
    times = f" ×{layer.times}" if layer.times > 1 else ""
    return (
        str(index),
        (name or layer.kind) + times,
        window(layer),
        "×".join(map(str, layer.image)),
        "×".join(map(str, layer.result)),
        number(layer.parameters),
        number(layer.multiply_adds),
        _share(layer.multiply_adds_valid, layer.multiply_adds),
        number(layer.bytes),
        f"{layer.intensity:.3g}",
        *field(layer.receptive_field.get(image or "", ())),
        layer.lowering,
    )


def _total(summary: Summary) -> tuple[str, ...]:
    t = summary.totals
    valid = _share(t.multiply_adds_valid, t.multiply_adds)
    cells = ("", "in all", "", "", "", number(t.parameters), number(t.multiply_adds))
    intensity = f"{t.intensity:.3g}"
    return (*cells, valid, number(t.bytes), intensity, "", "", "", "")


def window(layer: Layer) -> str:
    """Kernel size, and what is not the default: 3×3 /2 pad 1 dil 2, 32 groups."""
    parts = ["×".join(map(str, layer.window))]
    if layer.kind == "transposed":
        parts.append("transposed")
    if layer.kind == "kernel gradient":
        parts.append("gradient")
    if set(layer.stride) != {1}:
        parts.append("/" + _axes(layer.stride))
    # Below zero is what no window reads, which says nothing about the window.
    pads = [(max(low, 0), max(high, 0)) for low, high in layer.padding]
    if set(pads) != {(0, 0)}:
        shown = [low if low == high else f"{low}:{high}" for low, high in pads]
        parts.append("pad " + _axes(shown))
    if set(layer.dilation) != {1}:
        parts.append("dil " + _axes(layer.dilation))
    if layer.groups > 1:
        parts.append(f"g{layer.groups}")
    return " ".join(parts)


def _axes(values: Sequence[Any]) -> str:
    """One entry where all axes have the same."""
    return "×".join(
        dict.fromkeys(map(str, values)) if len(set(values)) == 1 else map(str, values)
    )


def field(found: Sequence[ReceptiveField | None]) -> tuple[str, str, str]:
    """Size, step and start; a question mark where an axis is not known."""
    if not found:
        return "", "", ""
    columns: list[list[str]] = [[], [], []]
    for one in found:
        entries: Any = ("?", "?", "?") if one is None else one
        for column, entry in zip(columns, entries, strict=True):
            column.append("?" if entry is None else str(entry))
    size, step, start = (_axes(column) for column in columns)
    return size, step, start


def number(value: int) -> str:
    """Three digits and a unit: 4.09G."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return (
                f"{value / size:.3g}{unit}"
                if value < 999.5 * size
                else f"{value / size:.0f}{unit}"
            )
    return str(value)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f}%" if whole else ""


def _remarks(summary: Summary, image: str | None) -> list[str]:
    t = summary.totals
    lines = [""]
    if image is not None:
        shape = "×".join(map(str, summary.inputs[image]))
        lines.append(
            f"sees, every, from: of {image} ({shape}), for one unit of the result."
        )
    if t.products:
        lines.append(f"Matrix products: {number(t.products)} multiply-adds more.")
    if t.parameters_elsewhere:
        lines.append(f"Parameters elsewhere: {number(t.parameters_elsewhere)}.")
    notes: dict[str, list[str]] = {}
    for index, layer in enumerate(summary.layers, start=1):
        for note in layer.notes:
            notes.setdefault(note, []).append(str(index))
    lines += [f"{', '.join(where)}: {note}." for note, where in notes.items()]
    places: dict[str, list[str]] = {}
    for primitive, name in summary.unknown:
        places.setdefault(primitive, []).append(name or "at the top")
    lines += [
        f"Not followed: {primitive} ({', '.join(dict.fromkeys(where))})."
        for primitive, where in places.items()
    ]
    return lines
