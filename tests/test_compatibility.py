"""Every interface of jax beyond the public ones is on one page, with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxconv

ROOT = Path(jaxconv.__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
INNER = ("jax._src", "jax.interpreters", "jax.extend", "jax.experimental", "jaxlib")
# Attributes of jax's objects that no page of its documentation promises.
UNPROMISED = {
    "aval",
    "avals_in",
    "avals_out",
    "axis_context",
    "manual_axes",
    "manual_axis_type",
    "module_context",
    "varying",
}


def inner(name: str) -> bool:
    """Whether a dotted name of jax is not public."""
    private = any(p[:1] == "_" and p[:2] != "__" for p in name.split("."))
    primitive = name.startswith("jax.") and name.endswith("_p")
    context = name == "jax.make_user_context"
    within = any(name == v or name.startswith(f"{v}.") for v in INNER)
    ours = name.split(".")[0] in ("jax", "jaxlib")
    return within or context or (ours and (private or primitive))


def dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        root = dotted(node.value, aliases)
        return None if root is None else f"{root}.{node.attr}"
    return None


def used(source: str) -> Iterator[str]:
    """The inner names that a module uses, and the unpromised attributes."""
    tree, aliases = ast.parse(source), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(v.name, v.asname or v.name.split(".")[0]) for v in node.names]
            aliases |= {a: n if a == n or "." not in n else a for n, a in names}
            aliases |= {v.asname: v.name for v in node.names if v.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            aliases |= {
                v.asname or v.name: f"{node.module}.{v.name}" for v in node.names
            }
    modules = {name for name in aliases.values() if name.count(".") == 2}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr in UNPROMISED:
                yield f".{node.attr}"
            name = dotted(node, aliases)
            if name is not None and inner(name):
                yield name
    for name in aliases.values():
        # A module is used by its attributes; what else is imported, as it is.
        if inner(name) and not (name in modules and name.startswith(INNER[1])):
            yield name


def found() -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for path in sorted((ROOT / "jaxconv").rglob("*.py")):
        for name in {*used(path.read_text(encoding="utf-8"))}:
            names.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    return names


def listed() -> dict[str, str]:
    rows = [
        line[2:-2].split(" | ")
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    return {name.strip("`"): reason for name, reason in rows}


def test_the_page_lists_what_is_used_and_nothing_else() -> None:
    names = found()
    assert {k: v for k, v in names.items() if k not in listed()} == {}
    assert listed().keys() <= names.keys()
    assert all(len(reason.split()) >= 4 for reason in listed().values())


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from jax._src import core", "jax._src.core"),
        ("import jax\njax._src.core.Jaxpr", "jax._src.core.Jaxpr"),
        (
            "from jax.interpreters import ad\nad.deflinear",
            "jax.interpreters.ad.deflinear",
        ),
        ("from jax.extend.core import Var", "jax.extend.core.Var"),
        (
            "from jax import lax\nlax.conv_general_dilated_p",
            "jax.lax.conv_general_dilated_p",
        ),
        ("from jax.lax import add_p", "jax.lax.add_p"),
        ("import jaxlib.xla_client as c\nc.dtype", "jaxlib.xla_client.dtype"),
        ("v.aval", ".aval"),
    ],
)
def test_what_is_seen(source: str, name: str) -> None:
    assert name in {*used(source)}


def test_what_is_public_is_not_seen() -> None:
    source = "import jax\nfrom jax import lax\njax.vjp\nlax.pad\nv._replace()"
    assert not {*used(source)}
