"""A summary as text, at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from jaxconv._inspect.summary import gains
from jaxconv._inspect.summary.contents import Contents, Layer, Product
from jaxconv._ops.arithmetic import ReceptiveField

_HEADS = (
    "", "layer", "window", "result", "params", "mult-adds", "field", "step", "lowering",
    "gain",
)  # fmt: skip
LEFT = {1, 2, 3, 8}
WIDTH = 100
SHORTEST = 14  # least width of the column of names
Row = tuple[str, ...]


def table(summary: Contents) -> str:
    if not summary.layers and not summary.products:
        return "no convolutions"
    head, *body = rows(summary)
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    others = sum(widths) - widths[1] + 2 * len(widths) - 2
    widths[1] = min(widths[1], max(SHORTEST, WIDTH - others))
    lines = [_line(head, widths), "-" * (sum(widths) + 2 * len(widths) - 2)]
    lines += [*(_line(row, widths) for row in body), ""]
    for remark in remarks(summary):
        lines += textwrap.wrap(remark, WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def rows(summary: Contents) -> list[Row]:
    """The heads, the cells of every layer, and those of the totals."""
    first = next(iter(summary.inputs), "")
    found = [_convolution(i, v, first) for i, v in enumerate(summary.layers, start=1)]
    more = enumerate(summary.products, start=len(found) + 1)
    found += [_product(i, product) for i, product in more]
    t = summary.totals
    both = number(t.parameters + t.parameters_products)
    found += [("", "in all", "", "", both, number(t.work), "", "", "", "")]
    shown = None if _gains(summary) else -1  # without the last column
    return [row[:shown] for row in (_HEADS, *found)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    short = [cells[0], shortened(cells[1], widths[1]), *cells[2:]]
    padded = [
        cell.ljust(width) if column in LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(short, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def shortened(name: str, width: int) -> str:
    """A name cut in the middle, because the ends tell most about a layer."""
    if len(name) <= width:
        return name
    front = (width - 1) // 2
    return f"{name[:front]}…{name[len(name) - (width - 1 - front) :]}"


def _convolution(index: int, layer: Layer, image: str) -> Row:
    return (
        str(index),
        layer.name + repeated(layer.times),
        window(layer),
        sizes(layer.result),
        number(layer.parameters),
        number(layer.multiply_adds),
        *field(layer.receptive_field.get(image, ()))[:2],
        layer.lowering,
        times(layer.gain) if layer.gain else "",
    )


def _product(index: int, product: Product) -> Row:
    return (
        str(index),
        product.name + repeated(product.times),
        product.kind,
        sizes(product.result),
        number(product.parameters),
        number(product.multiply_adds),
        *("", "", "", ""),
    )


def times(gain: float) -> str:
    """Two digits are more than is known of it."""
    return f"{gain:.0f}×" if gain >= 9.95 else f"{gain:.1f}×"


def repeated(times: int) -> str:
    return f" ×{times}" if times > 1 else ""


def sizes(shape: Iterable[int]) -> str:
    return "×".join(map(str, shape))


def window(layer: Layer) -> str:
    """The kernel size and all options that are not the default: 3×3 /2 pad 1 dil 2."""
    parts = [sizes(layer.window)]
    if layer.kind == "transposed":
        parts.append("transposed")
    if layer.kind == "kernel gradient":
        parts.append("gradient")
    if set(layer.stride) != {1}:
        parts.append("/" + _axes(layer.stride))
    # Negative padding counts inputs that no window reads; it is not shown.
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
    """One entry per axis, or a single one if all are equal."""
    texts = [str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def field(found: Sequence[ReceptiveField | None]) -> tuple[str, str, str]:
    """Size, step and start of a field; "?" for an unknown axis."""
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
    """A number with three digits and a unit, such as 4.09G."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return (
                f"{value / size:.3g}{unit}"
                if value < 999.5 * size
                else f"{value / size:.0f}{unit}"
            )
    return str(value)


# Under the table ----------------------------------------------------------------------


def remarks(summary: Contents) -> list[str]:
    """The remarks under the table, on everything or on rows by their numbers."""
    return [
        *_parameters(summary),
        *_work(summary),
        *_read(summary),
        *_gained(summary),
        *_notes(summary),
        *_unknown(summary),
    ]


def _parameters(summary: Contents) -> Iterable[str]:
    t = summary.totals
    rest = t.parameters_elsewhere - t.parameters_products
    parts = [
        (t.parameters, "of convolutions"),
        (t.parameters_products, "of matrix products"),
        (rest, f"others{_list(summary)}"),
        (t.parameters_unused, "that it holds and does not use"),
    ]
    whole = sum(count for count, _ in parts)
    said = [f"{count:,} {words}" for count, words in parts if count]
    if len(said) > 1:
        yield f"Parameters: {whole:,} = {' + '.join(said)}."
    elif said:
        yield f"Parameters: {said[0]}."


def _list(summary: Contents) -> str:
    named = [f"{name} {number(count)}" for name, count in summary.others.items()]
    more = f" and {len(named) - 6} more" if len(named) > 6 else ""
    return f" ({', '.join(named[:6])}{more})" if named else ""


def _work(summary: Contents) -> Iterable[str]:
    t = summary.totals
    if not summary.layers:
        return
    share = 100 * t.multiply_adds_valid / t.multiply_adds if t.multiply_adds else 100
    yield (
        f"Convolutions: {number(t.multiply_adds)} multiply-adds, {share:.0f}% not on "
        f"padding; {number(t.bytes)} bytes moved, {t.intensity:.3g} flops per byte."
    )


def _read(summary: Contents) -> Iterable[str]:
    if summary.layers and summary.inputs:
        image, shape = next(iter(summary.inputs.items()))
        yield (
            f"field: elements of {image} ({sizes(shape)}) that one unit depends on; "
            "step: from those of one unit to those of the next."
        )


def _gains(summary: Contents) -> bool:
    return any(layer.gain for layer in summary.layers)


def _gained(summary: Contents) -> Iterable[str]:
    if _gains(summary):
        yield (
            "gain: how many times as fast as lax jaxconv was, run alone, on a layer of "
            f"about these sizes ({gains.device()}); none where there was no such layer."
        )


def _notes(summary: Contents) -> Iterable[str]:
    notes: dict[str, list[str]] = {}
    for index, layer in enumerate(summary.layers, start=1):
        for note in layer.notes:
            notes.setdefault(note, []).append(str(index))
    return (f"{', '.join(where)}: {note}." for note, where in notes.items())


def _unknown(summary: Contents) -> Iterable[str]:
    places: dict[str, list[str]] = {}
    for primitive, name in summary.unknown:
        places.setdefault(primitive, []).append(name or "at the top")
    return (
        f"Not followed: {primitive} ({', '.join(dict.fromkeys(where))})."
        for primitive, where in places.items()
    )
