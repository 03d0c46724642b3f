"""A summary as a picture: work and receptive field, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from jaxconv._inspect.summary import table as _table

if TYPE_CHECKING:
    from jaxconv._inspect.summary.report import Layer, Summary

DENSE, VALID, SEEN = "#9ecae1", "#08519c", "#d95f0e"  # told apart by the colour-blind


def picture(summary: Summary) -> Figure:
    layers = summary.layers
    height = 1.4 + 0.22 * max(len(layers), 4)
    figure = Figure(figsize=(9, height), dpi=150, layout="constrained")
    work, field = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = list(range(len(layers)))
    for each, colour, label in (
        ([v.multiply_adds for v in layers], DENSE, "on padding"),
        ([v.multiply_adds_valid for v in layers], VALID, "on elements"),
    ):
        counts = [count * v.times for count, v in zip(each, layers, strict=True)]
        work.barh(places, counts, color=colour, label=label)
    work.set_yticks(places, [_label(i, v) for i, v in enumerate(layers, start=1)])
    work.tick_params(axis="y", labelsize=8)
    work.set_ylim(len(layers) - 0.4, -0.6)
    total = _table.number(summary.totals.multiply_adds)
    work.set(xlabel="multiply-adds", title=f"{total} multiply-adds")
    work.xaxis.set_major_formatter(lambda value, _: _table.number(int(value)))
    if layers:
        figure.legend(loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    _fields(field, summary)
    return figure


def _label(index: int, layer: Layer) -> str:
    times = f" ×{layer.times}" if layer.times > 1 else ""
    return f"{index}  {_table.window(layer)}{times}"


def _fields(panel: Any, summary: Summary) -> None:
    """The larger axis of the first input's field; a gap where it is not known."""
    image = next(iter(summary.inputs), "")
    sizes: list[float] = []
    for layer in summary.layers:
        found = layer.receptive_field.get(image, ())
        known = [one.size for one in found if one is not None]
        sizes.append(max(known) if len(known) == len(found) > 0 else float("nan"))
    panel.plot(sizes, range(len(sizes)), "o-", color=SEEN, markersize=4)
    panel.set(xlabel=f"elements of {image}", title="receptive field", xlim=(0, None))
    panel.grid(axis="x", alpha=0.3)
