"""Lines and progress on a terminal, in a pipe, or beside a JSON document."""

from __future__ import annotations

import importlib
from types import TracebackType
from typing import Any, TextIO


class Screen:
    """Prints lines at once; on a terminal with rich, a bar below them says how far.

    Without either, the lines are the progress.
    """

    def __init__(self, stream: TextIO, steps: int) -> None:
        self.stream = stream
        self._bar: Any = None
        if stream.isatty():
            self._bar = _rich_bar(stream)
        self._task = self._bar.add_task("", total=steps) if self._bar else None

    def __enter__(self) -> Screen:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def line(self, text: str = "") -> None:
        if self._bar:
            options: dict[str, Any] = {"markup": False, "highlight": False}
            self._bar.console.print(text, soft_wrap=True, **options)
        else:
            print(text, file=self.stream, flush=True)

    def step(self, doing: str) -> None:
        """One more step is done; ``doing`` is what is next."""
        if self._bar:
            self._bar.update(self._task, advance=1, description=doing)


def _rich_bar(stream: TextIO) -> Any:
    """A progress bar that goes away at the end, or None without rich."""
    try:
        progress: Any = importlib.import_module("rich.progress")
        console: Any = importlib.import_module("rich.console")
    except ImportError:
        return None
    columns = (
        progress.BarColumn(bar_width=24),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
    )
    return progress.Progress(
        *columns, console=console.Console(file=stream), transient=True
    )
