"""A summary as HTML for notebooks: the table, with a bar for each layer's work."""

from __future__ import annotations

import html

from jaxconv._inspect.summary import table as _table
from jaxconv._inspect.summary.contents import Contents
from jaxconv._inspect.summary.kinds import COLOURS, kind_of

STYLE = """
<style>
.jaxconv-summary { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.jaxconv-summary th, .jaxconv-summary td { padding: 2px 8px; text-align: right;
  border: 0; white-space: nowrap; }
.jaxconv-summary .left { text-align: left; }
.jaxconv-summary tr:last-child td { border-top: 1px solid currentcolor; }
.jaxconv-summary i { display: inline-block; height: 0.7em; margin-right: 6px; }
</style>
"""


def document(summary: Contents) -> str:
    if not summary.layers and not summary.products:
        return "<p>no convolutions</p>"
    layers = [*summary.layers, *summary.products]
    work = [layer.multiply_adds * layer.times for layer in layers]
    first, *rows, total = _table.rows(summary)
    heads = "".join(_cell("th", c, head) for c, head in enumerate(first))
    body = "".join(
        _row(cells, COLOURS[kind_of(layer)], share / max(1, *work))
        for cells, layer, share in zip(rows, layers, work, strict=True)
    )
    remarks = "<br>".join(map(html.escape, _table.remarks(summary)))
    return (
        f'{STYLE}<table class="jaxconv-summary"><tr>{heads}</tr>{body}'
        f"{_row(total)}</table><p>{remarks}</p>"
    )


def _row(cells: tuple[str, ...], colour: str = "", share: float = 0) -> str:
    found = [_cell("td", column, text) for column, text in enumerate(cells)]
    if colour:
        style = f"background:{colour};width:{max(1, round(60 * share))}px"
        bar = f'<td class="left"><i style="{style}"></i></td>'
    else:
        bar = "<td></td>"
    return f"<tr>{''.join(found)}{bar}</tr>"


def _cell(tag: str, column: int, text: str) -> str:
    side = ' class="left"' if column in _table.LEFT else ""
    return f"<{tag}{side}>{html.escape(text)}</{tag}>"
