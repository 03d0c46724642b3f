"""The public interface as a whole: one set of names and orders, and pages that run."""

from __future__ import annotations

import ast
import doctest
import importlib.resources
import inspect
import re
import types
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import pytest
from jax import lax

import annotations
import jaxconv
from jaxconv._border.arrays import Bias, Image, Num, Result

PUBLIC = {
    name: value
    for name, value in vars(jaxconv).items()
    if not name.startswith("_") and not isinstance(value, types.ModuleType)
}
FUNCTIONS = {k: v for k, v in PUBLIC.items() if not inspect.isclass(v)}
# The one that takes lax's arguments because it stands in for lax's function.
OURS = {k: v for k, v in FUNCTIONS.items() if k != "conv_general_dilated"}
over_functions = pytest.mark.parametrize("name", OURS)

# Every option, in the order that all signatures keep.
ORDER = (
    "platform",
    "repeats",
    "fuse",
    "method",
    "mask",
    "sparse",
    "transposed",
    "bias",
    "stride",
    "padding",
    "output_padding",
    "output_size",
    "dilation",
    "groups",
    "shards",
    "offset_groups",
    "padding_mode",
    "offset_scale",
    "remove_center",
    "softmax",
    "layout",
    "implementation",
    "memory_limit",
    "precision",
    "preferred_element_type",
    "dtype",
)
# PyTorch's own order for these two; `sparse` chooses what conv_matrix returns.
OTHER_ORDER = {
    "unfold": ("dilation", "padding", "stride", "layout"),
    "fold": ("dilation", "padding", "stride", "layout"),
}
WORDS_ONLY = ("lowerings",)  # nothing to put in a formula
SECTIONS = ("Args:", "Returns:", "Raises:", "Example:", "Elsewhere:", "Source:")


def parameters(name: str) -> list[inspect.Parameter]:
    return list(inspect.signature(PUBLIC[name]).parameters.values())


def test_there_is_something_to_walk() -> None:
    required = {
        "conv", "conv_transpose", "depthwise_conv", "pointwise_conv", "separable_conv",
        "unfold", "fold", "conv_matrix", "conv_output_size", "receptive_field", "cost",
        "conv_transpose_output_size", "lowerings",
    }  # fmt: skip
    assert required <= set(FUNCTIONS)


@over_functions
def test_what_has_a_default_is_keyword_only(name: str) -> None:
    names = {v.name for v in parameters(name)}
    for parameter in parameters(name):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            # They are the arguments of fn, or JAX says what they are.
            assert name == "convolutions_saveable" or "fn" in names
            continue
        if parameter.name == "bias" and parameter.default is None:
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            assert parameter.name == "fn"
        elif parameter.default is parameter.empty:
            assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        else:
            assert parameter.kind is parameter.KEYWORD_ONLY, parameter.name


@over_functions
def test_options_have_the_same_names_order_and_defaults(name: str) -> None:
    options = [v for v in parameters(name) if v.kind is v.KEYWORD_ONLY]
    names = [option.name for option in options]
    if name in OTHER_ORDER:
        assert tuple(names) == OTHER_ORDER[name]
    elif name != "conv_matrix":  # its own option comes last
        assert names == [v for v in ORDER if v in names]
    else:
        assert names == [*(v for v in ORDER if v in names and v != "sparse"), "sparse"]
    common = {v.name: v.default for v in parameters("conv_transpose")}
    for option in options:
        causal = (name, option.name) == ("stream", "padding")  # others see the future
        if option.name in common and option.name != "bias" and not causal:
            assert option.default == common[option.name]


@over_functions
def test_arrays_come_first(name: str) -> None:
    order = [
        "fn",
        "x",
        "offset",
        "u",
        "kernel",
        "depthwise_kernel",
        "pointwise_kernel",
        "bias",
    ]
    given = [v.name for v in parameters(name) if v.kind is v.POSITIONAL_OR_KEYWORD]
    arrays = [v for v in given if v in order]
    assert arrays == [v for v in order if v in arrays]
    assert given[: len(arrays)] == arrays


def test_the_drop_in_has_laxs_signature() -> None:
    theirs = list(inspect.signature(lax.conv_general_dilated).parameters)
    if "conv_general_dilated" in FUNCTIONS:
        assert [v.name for v in parameters("conv_general_dilated")] == theirs
    shared = {"padding", "precision", "preferred_element_type"}
    assert shared <= set(theirs)
    assert shared <= {v.name for v in parameters("conv")}


@over_functions
def test_every_page_is_complete(name: str) -> None:
    page = inspect.getdoc(PUBLIC[name])
    assert page is not None
    summary, blank, *_ = page.splitlines()
    assert summary.endswith(".")
    assert len(summary) <= 88
    assert blank == ""
    wanted = [v for v in SECTIONS if v != "Args:" or parameters(name)]
    found = [page.find(f"\n{section}") for section in wanted]
    assert -1 not in found, wanted[found.index(-1)]
    assert found == sorted(found)
    assert not re.search(r"\bclaims?\s+\d", page), "cites a list that no reader has"
    assert (".. math::" in page[: found[0]]) != (name in WORDS_ONLY)
    arguments = page[page.find("\nArgs:") : page.find("\nReturns:")]
    for parameter in parameters(name):
        assert parameter.name in arguments, parameter.name


@pytest.mark.parametrize("name", [k for k, v in PUBLIC.items() if inspect.isclass(v)])
def test_every_class_says_what_its_fields_are(name: str) -> None:
    page = inspect.getdoc(PUBLIC[name])
    assert page is not None
    assert page.splitlines()[0].endswith(".")
    for field in getattr(PUBLIC[name], "_fields", ()):  # a NamedTuple explains each
        assert field in page, field


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_print_what_they_say(
    name: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With JAX's own settings, as a reader has them, and with annotations that hold."""
    if PUBLIC[name].__module__.startswith(annotations.PUBLIC):
        monkeypatch.setattr(jaxconv, name, annotations.checked(PUBLIC[name]))
    found = doctest.DocTestFinder(recurse=False).find(PUBLIC[name], name, globs={})
    examples = [test for test in found if test.examples]
    assert len(examples) == 1
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"):
        result = runner.run(examples[0], clear_globs=False)
    assert result.attempted >= 2
    assert result.failed == 0, capsys.readouterr().out


def test_an_annotation_that_does_not_hold_is_found() -> None:
    """Too few axes, bools, and a letter with two sizes."""

    def image(x: Image) -> Result:
        return x

    def turned(x: Num[jax.Array, "a b"]) -> Num[jax.Array, "a b"]:
        return x.T

    def one(x: jax.Array) -> Bias:
        return x.sum(0)

    x = jax.numpy.ones((2, 3))
    for fn in (image, one):
        annotations.checked(fn)(x)
    wrong = ((image, x[0]), (image, x > 0), (turned, x), (one, x[0]))
    for fn, value in wrong:
        with pytest.raises(AssertionError):
            annotations.checked(fn)(value)


def test_names_are_unique() -> None:
    """No two public names for one thing, and none imported twice."""
    assert len({id(value) for value in PUBLIC.values()}) == len(PUBLIC)
    tree = ast.parse(Path(jaxconv.__file__).read_text(encoding="utf-8"))
    names = [
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert max(Counter(names).values()) == 1
    for name, value in PUBLIC.items():
        assert value.__name__ == name
        assert value.__module__.startswith("jaxconv.")


def test_annotations_are_published() -> None:
    assert importlib.resources.files("jaxconv").joinpath("py.typed").is_file()
    for name in OURS:
        signature = inspect.signature(PUBLIC[name])
        assert signature.return_annotation is not signature.empty, name
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty, (name, parameter.name)


def test_version_is_that_of_the_package() -> None:
    assert jaxconv.__version__.count(".") >= 2
