"""Executes the notebooks of this folder and compares their text with what is committed.

Cells tagged "measured" are executed too, but may print what the machine makes of them.

python notebooks/run.py                      all; fails where a text output differs
python notebooks/run.py 3-transpose.ipynb    some
python notebooks/run.py --write              saves the outputs, in the translations too
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
TIMEOUT = 300  # seconds a cell may take


def main(argv: list[str] | None = None) -> int:
    """Returns 0 if every notebook runs and prints what it printed before."""
    arguments = _parser().parse_args(argv)
    paths = [FOLDER / name for name in arguments.names]
    for path in paths:
        if not path.is_file():
            print(f"{path.name}: no such notebook in {FOLDER.name}/", file=sys.stderr)
            return 2
    paths = paths or sorted(FOLDER.glob("*.ipynb"))
    # The same device everywhere, as the committed outputs are compared with.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # Two at a time, except where a cell's measurements are saved.
    with ThreadPoolExecutor(1 if arguments.write else 2) as pool:
        right = pool.map(partial(run, write=arguments.write), paths)
        bad = [path.name for path, ok in zip(paths, right, strict=True) if not ok]
    print(f"{len(paths) - len(bad)} of {len(paths)} notebooks are in order.")
    return 1 if bad else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Executes the notebooks.")
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="default: all")
    parser.add_argument("--write", action="store_true", help="save the outputs")
    return parser


def run(path: Path, *, write: bool) -> bool:
    """Executes one notebook; says what is wrong with it."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    before = [_text(cell) for cell in notebook.cells]
    if not _execute(notebook, path.name):
        return False
    seconds = time.perf_counter() - start
    if write:
        _clean(notebook)
        nbformat.write(notebook, path)
        for translation in FOLDER.glob(f"*/{path.name}"):
            _carry_over(notebook, translation)
        print(f"{path.name}: written, {seconds:.0f} s", flush=True)
        return True
    right = _compare(before, [_text(cell) for cell in notebook.cells], path.name)
    if right:
        print(f"{path.name}: as committed, {seconds:.0f} s", flush=True)
    return right


def _execute(notebook: Any, name: str) -> bool:
    """Runs every cell in place; says which one is under way, and which one fails."""
    count, current = len(notebook.cells), 0

    def start(cell: Any, cell_index: int) -> None:
        nonlocal current
        current = cell_index
        if sys.stdout.isatty():
            print(f"{name}: cell {cell_index + 1} of {count}", end="\r", flush=True)

    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        on_cell_start=start,
        resources={"metadata": {"path": str(FOLDER)}},
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
    )
    print(f"{name}: {count} cells ...", flush=True)
    try:
        client.execute()
    except (CellExecutionError, RuntimeError, TimeoutError) as error:
        # A cell's own error, a kernel that died or did not start, a cell that hangs.
        print(f"{name}: cell {current + 1} of {count} fails:")
        _report(notebook.cells[current], error)
        return False
    return True


def _report(cell: Any, error: Exception) -> None:
    """A failing cell's source and the error."""
    print("\n".join(f"    {line}" for line in cell.source.splitlines()))
    errors = _errors(cell) or [f"{type(error).__name__}: {error}"]
    print("\n".join(f"  {line}" for line in errors), flush=True)


def _errors(cell: Any) -> list[str]:
    outputs = (o for o in cell.get("outputs", ()) if o.output_type == "error")
    return [f"{o.ename}: {o.evalue}" for o in outputs]


def _text(cell: Any) -> str:
    """What a cell prints and returns as text; not pictures, warnings, measurements."""
    if "measured" in cell.metadata.get("tags", ()):
        return ""
    parts: list[str] = []
    for output in cell.get("outputs", ()):
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif "data" in output and "image/png" not in output.data:
            parts.append(output.data.get("text/plain", ""))
    # Addresses in the text of an object differ from run to run.
    return re.sub(r"0x[0-9a-f]{6,}", "0x", "".join(parts))


def _compare(before: list[str], after: list[str], name: str) -> bool:
    right = True
    for index, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        if old == new:
            continue
        right = False
        print(f"{name}: cell {index} prints something else than is committed:")
        changes = difflib.unified_diff(
            old.splitlines(), new.splitlines(), "committed", "now", lineterm=""
        )
        print("\n".join(f"    {line}" for line in changes), flush=True)
    return right


def _carry_over(notebook: Any, path: Path) -> None:
    """Gives a translation the code and the outputs; what it says stays its own."""
    translation = nbformat.read(path, as_version=4)
    pairs = zip(notebook.cells, translation.cells, strict=True)
    cells = [there if there.cell_type == "markdown" else here for here, there in pairs]
    translation.cells = cells
    nbformat.write(translation, path)


def _clean(notebook: Any) -> None:
    """Leaves out what differs from run to run and machine to machine."""
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if output.get("name") != "stderr"
            ]


if __name__ == "__main__":
    sys.exit(main())
