"""The pages of docs/ that are generated: they are current, and their formulas hold."""

from __future__ import annotations

import random
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import as_latex
import geometry_page
import jaxconv
import pages
from geometry_page import Relationship, evaluate
from jaxconv import viz

DOCS = Path(__file__).parent.parent / "docs"

ENTRIES = [v for section in geometry_page.SECTIONS for v in section.entries]
over_entries = pytest.mark.parametrize("found", ENTRIES, ids=lambda v: v.title)
NUMBERS = {"i": (1, 12), "k": (1, 5), "s": (1, 4), "d": (1, 3), "p": (0, 5)}
NUMBERS |= {"o": (1, 7), "a": (0, 3), "lo": (0, 5), "hi": (0, 5)}


@pytest.mark.parametrize("name", pages.PAGES)
def test_pages_are_current(name: str) -> None:
    made = pages.PAGES[name]()
    assert (DOCS / name).read_text("utf-8") == made, (
        "python docs/tools/pages.py --write"
    )


# Geometry -----------------------------------------------------------------------------


def settings(found: Relationship) -> Iterator[dict[str, int]]:
    """Letters at random, for which the relationship's conditions hold."""
    rng = random.Random(found.title)
    for _ in range(400):
        free = {letter: rng.randint(*ends) for letter, ends in NUMBERS.items()}
        letters = found.letters(free)
        fits = letters["i"] + 2 * letters["p"] >= letters["d"] * (letters["k"] - 1) + 1
        if fits and (not found.holds or evaluate(found.holds, letters)):
            yield letters


@over_entries
def test_formula_is_what_the_library_computes(found: Relationship) -> None:
    cases = list(settings(found))
    assert len(cases) > 20
    values = {evaluate(found.formula, letters) for letters in cases}
    assert len(values) > 3
    for letters in cases:
        wanted = evaluate(found.library, letters)
        assert evaluate(found.formula, letters) == wanted, letters


@pytest.mark.parametrize(
    "found", [v for v in ENTRIES if v.name in "io" and v.picture], ids=lambda v: v.title
)
def test_picture_shows_the_formula(found: Relationship) -> None:
    """The sizes of the picture satisfy the conditions, and its result the formula."""
    entry = geometry_page._entry(found.picture)
    scene = getattr(viz, entry.function)(*entry.arguments, **entry.options)
    sizes = re.findall(r"\d+(?:×\d+)*", scene.title)[:2]  # "conv: 5×5 to 3×3"
    shown = zip(*(size.split("×") for size in sizes), strict=True)
    for axis, (before, after) in enumerate(shown):
        letters = drawn(entry, axis)
        start = "o" if entry.function == "conv_transpose" else "i"
        assert letters[start] == int(before)
        fixed = found.letters(letters)
        assert {k: letters.get(k, v) for k, v in fixed.items()} == fixed
        assert not found.holds or evaluate(found.holds, fixed)
        assert evaluate(found.formula, fixed) == int(after)


def drawn(entry: Any, axis: int) -> dict[str, int]:
    """The letters of one axis, from the call that draws it."""

    def along(value: Any, axis: int = axis) -> Any:
        return value[axis] if isinstance(value, tuple) else value

    x, kernel = (getattr(v, "shape", v) for v in entry.arguments)
    options = entry.options
    names = {"s": ("stride", 1), "d": ("dilation", 1), "a": ("output_padding", 0)}
    letters = {k: along(options.get(*name)) for k, name in names.items()}
    letters |= {"i": along(x), "o": along(x), "k": along(kernel)}
    padding = along(options.get("padding", 0))
    if padding == "causal":  # a word: the letters follow from the formula
        return letters
    lo, hi = padding if isinstance(padding, tuple) else (padding, padding)
    return letters | {"lo": lo, "hi": hi} | ({"p": lo} if lo == hi else {})


def test_every_relationship_has_its_formula() -> None:
    numbers = {
        v.title.split()[1].strip(":,") for v in ENTRIES if "Relationship" in v.title
    }
    assert numbers == {str(n) for n in range(1, 16)}


def test_every_picture_is_there() -> None:
    for found in ENTRIES:
        if found.picture:
            assert (DOCS / "gallery" / f"{found.picture}.svg").is_file()


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("(i - k) // s + 1", r"\left\lfloor \frac{i - k}{s} \right\rfloor + 1"),
        ("-(-i // s) * s", r"\left\lceil \frac{i}{s} \right\rceil s"),
        ("i - (k - 1)", "i - (k - 1)"),
        ("d * (k - 1) + lo", r"d (k - 1) + \mathit{lo}"),
        ("k % 2 == 1", r"k \bmod 2 = 1"),
    ],
)
def test_expressions_as_latex(expression: str, wanted: str) -> None:
    assert as_latex.latex(expression) == wanted


def test_what_latex_cannot_write_is_refused() -> None:
    with pytest.raises(ValueError, match=r"i \*\* 2: nothing that a formula"):
        as_latex.latex("i ** 2")


# Lowerings and reference --------------------------------------------------------------


def test_a_rule_for_another_platform_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is made from the rules, whatever they are."""
    from jaxconv._plan import choose as _plan

    rule = _plan.RULES[1]._replace(platforms=("tpu",), reason="on a TPU 7 to 1")
    assert "on a TPU 7 to 1" not in pages.PAGES["lowerings.md"]()
    monkeypatch.setattr(_plan, "RULES", (*_plan.RULES, rule))
    page = pages.PAGES["lowerings.md"]()
    assert "on a TPU 7 to 1" in page
    assert "### tpu" in page


def public(module: types.ModuleType) -> set[str]:
    return {
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


def test_every_public_name_has_one_entry() -> None:
    texts = (path.read_text("utf-8") for path in (DOCS / "reference").glob("*.md"))
    lines = [line for text in texts for line in text.splitlines()]
    entries = [line.removeprefix("::: ") for line in lines if line.startswith("::: ")]
    assert sorted(entries) == sorted(public(jaxconv) | public(viz))


def test_every_command_has_its_section() -> None:
    from jaxconv._cli.arguments import parser

    (commands,) = (v.choices for v in parser()._actions if v.metavar == "COMMAND")
    text = (DOCS / "reference" / "command-line.md").read_text("utf-8")
    assert {f"## {name}" for name in commands} <= set(text.splitlines())


# Docstrings ---------------------------------------------------------------------------


def test_docstrings_become_markdown() -> None:
    """With Griffe, which only the documentation's environment has."""
    griffe = pytest.importorskip(
        "griffe", reason="Griffe, which builds the docs, is missing"
    )
    import docstrings

    package = griffe.load(
        "jaxconv",
        search_paths=[str(DOCS.parent)],
        allow_inspection=False,
        extensions=griffe.load_extensions(docstrings.Docstrings()),
        docstring_parser="google",
        docstring_options={"returns_multiple_items": False},
    )
    for path in sorted(public(jaxconv) | public(viz)):
        found = package[path.removeprefix("jaxconv.")]
        text = found.docstring.value
        assert ".. math::" not in text, path
        assert ":math:" not in text, path
        if not found.is_function:
            continue
        kinds = {
            section.kind.value: section.value for section in found.docstring.parsed
        }
        named = {v.name for v in kinds.get("parameters", [])}
        taken = {v.name for v in found.parameters}
        assert named == taken, path
        assert {"returns", "examples"} <= set(kinds), path


def test_formulas_with_several_lines() -> None:
    pytest.importorskip("griffe", reason="Griffe, which builds the docs, is missing")
    from docstrings import markdown

    text = "One.\n\n.. math:: a +\n    b\n\nArgs:\n  x, y: both.\n    And so on.\n"
    assert "$$a + b$$" in markdown(text)
    assert "  x: both.\n    And so on.\n  y: both.\n    And so on.\n" in markdown(text)
