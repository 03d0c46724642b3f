"""A transposed convolution as one to many: a frame for each element of its input."""

from __future__ import annotations

from jaxconv._core.geometry import Axis
from jaxconv.viz import _kernel
from jaxconv.viz._frames import Frame, chosen
from jaxconv.viz._layout import CELL, SUM_CELL, Page, Panel, arrange, beam
from jaxconv.viz._marks import Mark
from jaxconv.viz._operands import Operands, number, scatter, value_at
from jaxconv.viz._scene import Scene
from jaxconv.viz._setting import Place, Read, Setting


def title(setting: Setting) -> str:
    return f"conv_transpose: {setting.windows_size} to {setting.image_size}"


def arguments(setting: Setting) -> Panel:
    rows, columns = setting.geometry.output
    return Panel(f"input {setting.windows_size}", (0, 0), rows, columns)


def one_to_many(setting: Setting, given: Operands) -> Scene:
    """Each element times the kernel, added at its place; then the padding is cut."""
    panels = arguments(setting), _kernel.panel(setting), _covered(setting)
    largest = SUM_CELL if given.letters else CELL
    written = given.x is not None
    page = arrange(*panels, flat=setting.ndim == 1, written=written, largest=largest)
    positions = setting.positions
    frames = tuple(_scattered(setting, page, n, given) for n in range(len(positions)))
    source, kernel, result = page.grids
    base: list[Mark] = [*page.labels, *_kernel.cells(kernel, given)]
    base += [source.put(p, "input", value_at(given.x, p)) for p in positions]
    start = "" if given.x is None else "0"
    for place in result.places:
        text = start if setting.inside(place) else ""
        base.append(result.put(place, _outer(setting, place, ""), text))
    still = chosen(frames, 3 if setting.ndim == 1 else 2, page.height)
    outside = len(result.places) > len(setting.elements)
    rest = ((_beyond(setting), _words(setting)),) if outside else ()
    kinds = ("input", "kernel", "output")
    legend = (*((kind, kind) for kind in kinds), *rest)
    return Scene(
        title(setting),
        setting.summary,
        legend,
        page.height,
        tuple(base),
        frames,
        still,
    )


def _covered(setting: Setting) -> Panel:
    """The result with what is cut off around it, and what no window reaches."""
    first, last = zip(*map(_ends, setting.axes), strict=True)
    rows, columns = (b - a for a, b in zip(first, last, strict=True))
    return Panel(f"output {setting.image_size}", (first[0], first[1]), rows, columns)


def _ends(axis: Axis) -> tuple[int, int]:
    return min(0, -axis.lo), max(axis.i, axis.reach - axis.lo)


def _beyond(setting: Setting) -> str:
    return "cropped" if setting.mode == "zeros" else "padding"


def _words(setting: Setting) -> str:
    if setting.mode == "zeros":
        return "cut off by padding"
    return f"added where {setting.mode} padding read"


def _outer(setting: Setting, place: Place, state: str) -> str:
    """The role of a place of the temporary result."""
    inside = setting.inside(place)
    if inside:
        return f"output{state}"
    return _beyond(setting) + ("-lit" if state == "-lit" else "")


def _scattered(setting: Setting, page: Page, index: int, given: Operands) -> Frame:
    source, _, result = page.grids
    position = setting.positions[index]
    reads = list(setting.reads(position))
    window = result.box([read.place for read in reads], "window")
    origin = source.box([position], "window")
    sums = None
    if given.x is not None and given.w is not None:
        sums = scatter(setting, given.x, given.w, index + 1)
    lit = {read.place: read for read in reads}
    lit |= {read.source: read for read in reads if read.source is not None}
    marks: list[Mark] = [source.put(position, "input-lit", value_at(given.x, position))]
    for place in _touched(setting, index):
        state = "-lit" if place in lit else "-done"
        note = _note(lit.get(place), given, position)
        marks.append(
            result.put(
                place, _outer(setting, place, state), value_at(sums, place), note
            )
        )
    marks += [
        result.box([read.source], "source")
        for read in reads
        if read.source is not None and read.source != read.place
    ]
    marks += [origin, window, *beam(origin, window)]
    return Frame(tuple(marks), _scatter_caption(setting, position, reads, given))


def _touched(setting: Setting, index: int) -> list[Place]:
    """The places that got something so far, each once, this frame's last."""
    found: dict[Place, None] = {}
    for position in setting.positions[: index + 1]:
        for read in setting.reads(position):
            for place in (read.place, read.source):
                if place is not None:
                    found.pop(place, None)
                    found[place] = None
    return list(found)


def _note(read: Read | None, given: Operands, position: Place) -> str:
    """What this frame adds to a cell."""
    if read is None or given.x is None or given.w is None or given.letters:
        return ""
    added = number(given.x[position] * given.w[read.tap])
    return added if added.startswith("-") else f"+{added}"


def _scatter_caption(
    setting: Setting, position: Place, reads: list[Read], given: Operands
) -> str:
    name = f"input[{setting.index(position)}]"
    kept = sum(read.source is not None for read in reads)
    if given.x is not None:
        name = f"{name} = {number(given.x[position])}"
    return f"{name} times the kernel, {kept} of {len(reads)} products kept"
