"""The rooms of the package, read off its imports: no arrow runs up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxconv

ROOT = Path(jaxconv.__file__).parent

# Each room, and the rooms that it may import from besides itself.
BELOW = {
    "_core": set(),
    "_lowerings": {"_core"},
    "_plan": {"_core", "_lowerings"},
    "_border": {"_core", "_lowerings", "_plan"},
    "_ops": {"_core", "_border", "_lowerings"},
    "_deform": {"_core", "_border", "_ops"},
    "_adopt": {"_core", "_border", "_plan", "_deform"},
    "_inspect": {"_core", "_lowerings", "_plan", "_border", "_ops", "_deform"},
    "_layers": {"_core", "_border"},
    "nnx": {"_layers", "_border", "_ops", "_deform"},
    "equinox": {"_layers", "_border", "_ops", "_deform"},
    "viz": {"_core", "_border", "_ops", "_deform", "_inspect"},
    "_explorer": {"_core", "_border", "viz"},
    "_cli": set(),  # the outermost: may import any
}
EVERY = {"_cli", "__init__", "__main__"}
TOP = {"__init__.py", "__main__.py", "py.typed"}


class Import(tuple[str, int, str]):
    """Where it stands (file and line), and the module that it names."""

    def __str__(self) -> str:
        return "{}:{}: imports {}".format(*self)


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[Import]:
    """Every import of the package's own modules, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module or "" for name in whole]
        place = str(path.relative_to(ROOT.parent))
        for name in dict.fromkeys(names):
            if name in MODULES:
                yield Import((place, node.lineno, name))


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def test_the_top_level_holds_only_rooms() -> None:
    files = {path.name for path in ROOT.iterdir() if path.is_file()}
    assert files <= TOP
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(BELOW), "a room is missing from the table, or has gone"


@pytest.mark.parametrize("name", BELOW)
def test_each_room_says_what_it_may_know(name: str) -> None:
    text = ast.get_docstring(
        ast.parse((ROOT / name / "__init__.py").read_text("utf-8"))
    )
    assert text
    assert text.split("\n\n")[0].endswith("."), f"{name} needs one whole sentence"


def test_no_arrow_runs_up() -> None:
    wrong: list[str] = []
    for module, path in MODULES.items():
        if room(module) in EVERY:
            continue
        allowed = BELOW[room(module)] | {room(module)}
        wrong += [str(i) for i in imports(path) if room(i[2]) not in allowed]
    assert not wrong, "\n".join(wrong)


def test_the_kinds_of_lowerings_do_not_know_the_table() -> None:
    """A lowering imports no table of lowerings, from which it could pick a sibling."""
    wrong = [
        str(i)
        for module, path in MODULES.items()
        if module.startswith("jaxconv._lowerings.")
        for i in imports(path)
        if i[2] == "jaxconv._lowerings"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_import_runs_in_a_circle() -> None:
    """Not even one inside a function or behind TYPE_CHECKING."""
    graph = {module: list(imports(path)) for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...], via: tuple[str, ...]) -> None:
        if module in above:
            circle = "\n".join(via[above.index(module) :])
            pytest.fail(f"a circle of imports:\n{circle}")
        if module in done:
            return
        for found in graph[module]:
            visit(found[2], (*above, module), (*via, str(found)))
        done.add(module)

    for module in graph:
        visit(module, (), ())


def test_lowerings_refuse_nothing() -> None:
    """Users' errors are found before; in the core only `fail` itself raises them."""
    wrong: list[str] = []
    for module, path in MODULES.items():
        if room(module) not in ("_core", "_lowerings") or path.name == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            if name in ("fail", "ValueError", "TypeError"):
                wrong.append(f"{path}:{node.lineno}: {name}")
    assert not wrong, "\n".join(wrong)
