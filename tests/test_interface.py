"""The public interface, word for word: it changes only on purpose, and is documented.

``python tests/test_interface.py --write`` writes the file that the test compares with,
once what is new or changed stands in the newest section of CHANGELOG.md.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import jaxconv

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "tests" / "data" / "interface.txt"
WRITE = "python tests/test_interface.py --write"


def modules() -> Iterator[types.ModuleType]:
    """The packages without an underscore: they offer what they import by name."""
    yield jaxconv
    for found in pkgutil.walk_packages(jaxconv.__path__, "jaxconv."):
        if found.ispkg and "._" not in found.name:
            yield importlib.import_module(found.name)


def public(holder: Any) -> Iterator[tuple[str, Any]]:
    """What a module or a class offers, in the alphabet's order."""
    for name, value in sorted(vars(holder).items()):
        if name.startswith("_") or isinstance(value, types.ModuleType):
            continue
        if inspect.ismodule(holder) and not callable(value):
            continue
        yield name, value


def names() -> dict[str, Any]:
    """Every public function and class, and the methods and properties of classes."""
    found: dict[str, Any] = {}
    for module in modules():
        for name, value in public(module):
            found[f"{module.__name__}.{name}"] = value
            if inspect.isclass(value):
                fields = getattr(value, "__dataclass_fields__", {}).keys()
                fields |= set(getattr(value, "_fields", ()))
                for member, inner in public(value):
                    if member not in fields:
                        found[f"{module.__name__}.{name}.{member}"] = inner
    return found


NAMES = names()
METHODS = {name for name in NAMES if name.rpartition(".")[0] in NAMES}


def line(name: str) -> str:
    """A name with its parameters, their kinds and defaults; annotations left out."""
    value = NAMES[name]
    value = getattr(value, "__func__", value)  # of a classmethod
    if not callable(value):
        return f"{name}  (property)"
    signature = inspect.signature(value)
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    bare = signature.replace(
        parameters=plain, return_annotation=inspect.Signature.empty
    )
    return f"{name}{bare}"


def interface() -> list[str]:
    return [line(name) for name in NAMES]


def newest() -> str:
    """The first section of the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.split(r"(?m)^## ", text)[1]


def unsaid(lines: list[str]) -> list[str]:
    """Which of these lines' names do not stand in the newest section, as code."""
    return [found for found in lines if not mentions(newest(), of(found))]


def of(found: str) -> str:
    return re.split(r"[(\s]", found)[0]


def mentions(text: str, name: str) -> bool:
    """Whether a name, or its class, stands between backticks or has its page."""
    parts = name.removeprefix("jaxconv.").removeprefix("viz.").split(".")
    known = (rf"`[^`\n]*\b{part}\b[^`\n]*`|^::: \S*\b{part}$" for part in parts)
    return any(re.search(rf"(?m){pattern}", text) for pattern in known)


def changed() -> tuple[list[str], list[str]]:
    """Lines that the file has not, and lines that only the file has."""
    known = LOCK.read_text(encoding="utf-8").splitlines() if LOCK.exists() else []
    now = interface()
    return [v for v in now if v not in known], [v for v in known if v not in now]


def test_the_interface_is_the_one_agreed_on() -> None:
    known, now = LOCK.read_text(encoding="utf-8").splitlines(), interface()
    found = difflib.unified_diff(known, now, LOCK.name, "jaxconv", lineterm="", n=0)
    difference = "\n".join(found)
    assert not difference, (
        f"the public interface changed:\n{difference}\nIf that is meant, say so in the "
        f"newest section of CHANGELOG.md, with each name as `code`, and run\n  {WRITE}"
    )


def test_every_name_stands_in_the_changelog_or_the_reference() -> None:
    pages = [ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    missing = [name for name in NAMES if not mentions(text, name)]
    assert not missing, f"write what these are, as `code`: {missing}"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_documented(name: str) -> None:
    """A docstring of its own; a function's says what every parameter is."""
    value = NAMES[name]
    page = inspect.getdoc(value)
    assert page, "it has no docstring"
    assert page.splitlines()[0].endswith((".", ":")), page.splitlines()[0]
    if inspect.isclass(value):
        assert vars(value).get("__doc__"), "its docstring is inherited"
        return
    if not inspect.isfunction(inspect.unwrap(value)) or name in METHODS:
        return
    arguments = page[page.find("Args:") : page.find("Returns:")]
    for parameter in inspect.signature(value).parameters:
        assert re.search(rf"(?m)^ *(\w+, )*{parameter}[,:]", arguments) or re.search(
            rf"\b{parameter}\b[^:]*:", arguments
        ), f"no word on {parameter}"


def main() -> int:
    new, gone = changed()
    silent = unsaid([*new, *gone])
    if LOCK.exists() and silent:
        print(
            "Say in the newest section of CHANGELOG.md, as `code`:", *silent, sep="\n  "
        )
        return 1
    LOCK.write_text("\n".join(interface()) + "\n", encoding="utf-8")
    print(f"{len(new)} new or changed, {len(gone)} gone")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(f"Write {WRITE}")
    sys.exit(main())
