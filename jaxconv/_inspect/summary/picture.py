"""A summary as a figure of the work and the receptive field of each layer."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from jaxconv._inspect.summary import table as _table
from jaxconv._inspect.summary.contents import Contents, Layer, Product
from jaxconv._inspect.summary.kinds import COLOURS, kind_of

SEEN = "#d95f0e"
FAINT = 0.35  # opacity of the work on padding
NAME = 30  # the most characters of a layer's name


def picture(summary: Contents) -> Figure:
    layers = [*summary.layers, *summary.products]
    line = 0.19 if len(layers) <= 40 else 0.15
    height = 1.4 + line * max(len(layers), 4)
    figure = Figure(figsize=(9, height), dpi=150, layout="constrained")
    work, field = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _work(work, summary, layers)
    work.set_yticks(range(len(layers)), [_label(v) for v in layers])
    work.tick_params(axis="y", labelsize=7 if len(layers) <= 40 else 6)
    work.set_ylim(len(layers) - 0.4, -0.6)
    if layers:
        kinds = dict.fromkeys(map(kind_of, layers))
        marks = [Patch(color=COLOURS[kind], label=kind) for kind in kinds]
        figure.legend(
            handles=[*marks, Patch(color=(0.5, 0.5, 0.5, FAINT), label="on padding")],
            loc="outside lower center", ncols=len(marks) + 1, fontsize=8,
            frameon=False,
        )  # fmt: skip
    _fields(field, summary)
    return figure


def _work(panel: Any, summary: Contents, layers: list[Layer | Product]) -> None:
    """Faint bars for all multiply-adds, and full ones for those not on padding."""
    colours = [COLOURS[kind_of(layer)] for layer in layers]
    places = range(len(layers))
    whole = [layer.multiply_adds * layer.times for layer in layers]
    valid = [v.multiply_adds_valid * v.times for v in summary.layers]
    valid += whole[len(summary.layers) :]
    panel.barh(places, whole, color=colours, alpha=FAINT)
    panel.barh(places, valid, color=colours)
    for place, layer in enumerate(summary.layers):
        if layer.gain:
            words = f" {_table.times(layer.gain)}"
            panel.text(whole[place], place, words, va="center", fontsize=6)
    known = any(layer.gain for layer in summary.layers)
    panel.margins(x=0.1 if known else 0.05)
    total = _table.number(summary.totals.work)
    label = "multiply-adds" + "; ×: gain over lax" * known
    panel.set(xlabel=label, title=f"{total} multiply-adds")
    panel.xaxis.set_major_formatter(lambda value, _: _table.number(int(value)))


def _label(layer: Layer | Product) -> str:
    return _table.shortened(layer.name, NAME) + _table.repeated(layer.times)


def _fields(panel: Any, summary: Contents) -> None:
    """The field in the first input, on its largest axis; a gap where it is unknown."""
    image = next(iter(summary.inputs), "")
    sizes: list[float] = []
    for layer in summary.layers:
        found = layer.receptive_field.get(image, ())
        known = [one.size for one in found if one is not None]
        sizes.append(max(known) if len(known) == len(found) > 0 else float("nan"))
    panel.plot(sizes, range(len(sizes)), "o-", color=SEEN, markersize=4)
    panel.set(xlabel=f"elements of {image}", title="receptive field", xlim=(0, None))
    panel.grid(axis="x", alpha=0.3)
