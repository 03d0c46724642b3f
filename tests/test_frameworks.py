"""Every line of docs/frameworks.md: its tables against each library, its code run."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any

import numpy as np
import pytest

import jaxconv
from frameworks import (
    C_IN,
    PAGE,
    SPACE,
    TEXT,
    WINDOW,
    Row,
    build,
    exchange,
    images,
    kernel_shape,
    over,
    table,
)

CONV, TRANSPOSED = table("Convolution"), table("Transposed convolution")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FORMS: dict[str, Any] = {
    "int": 1,
    "ints": (2, 1),
    "pairs": ((2, 1), (0, 1)),
    "one pair": (2, 1),
    "function": lambda span: (span - 1, 1),
}
# Stride, dilation, groups.  Keras takes no stride and dilation at once.
GEOMETRIES = (((2, 3), (1, 1), 2), ((1, 1), (2, 1), 1))
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


pytestmark = pytest.mark.usefixtures("as_users_have_it")


# The code -----------------------------------------------------------------------------


def _title(block: str) -> str:
    heading = TEXT[: TEXT.index(block)].rpartition("\n## ")[2].splitlines()[0]
    return f"{heading} {BLOCKS.index(block)}"


@pytest.mark.parametrize("block", BLOCKS, ids=_title)
def test_code_runs(block):
    for peer in ("torch", "flax", "keras", "equinox", "haiku"):
        if re.search(rf"^(import|from) {peer}\b", block, re.MULTILINE):
            pytest.importorskip(peer, reason=f"{peer} is not installed")
    assert "assert " in block
    code = compile(block, PAGE.name, "exec", dont_inherit=True)
    exec(code, {"__name__": "block"})


# The tables ---------------------------------------------------------------------------


def result(row: Row, y: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(y), -1, -3) if row.channels_last else np.asarray(y)


def steps(row: Row, values: tuple[Any, Any, int]) -> dict[str, Any]:
    """The library's arguments for stride, dilation and groups, those that it has."""
    column = "stride, dilation, groups"
    if column in row.cells:
        return dict(zip(row.names(column), values, strict=True))
    stride, dilation, groups = values
    named = {"stride" if "stride" in row.parameters else "strides": stride}
    for column, value in (("dilation", dilation), ("groups", groups)):
        named |= {name: value for name in row.names(column)}
    return named


def forms(row: Row) -> list[str]:
    return [f.strip('"') for f in row.padding if f not in ("0", "no default")]


@over(CONV + TRANSPOSED)
def test_padding_takes_the_numbers_listed_and_has_the_default_listed(row, rng):
    default, listed = row.parameters["padding"].default, row.padding[0].strip('"')
    if listed == "no default":
        assert default is inspect.Parameter.empty
    else:
        assert str(default).strip("()").split(",")[0] == listed
    x, _ = images(row, rng)
    named = steps(row, ((1, 1), (1, 1), 1))
    for form in ("int", "ints", "pairs"):
        accepted = form in row.padding or (form == "ints" and "one pair" in row.padding)
        refusals = (TypeError, ValueError, AttributeError, RuntimeError)
        context = contextlib.nullcontext() if accepted else pytest.raises(refusals)
        with context:
            layer = build(row, rng, 1, padding=FORMS[form], **named)
            layer.call(x)


def spans_of(dilation: tuple[int, ...]) -> list[int]:
    return [d * (k - 1) + 1 for d, k in zip(dilation, WINDOW, strict=True)]


def read_conv(row: Row, form: str, dilation: tuple[int, ...]) -> dict[str, Any]:
    """A form of padding in jaxconv's arguments, as the page says."""
    spans = spans_of(dilation)
    if form in ("CIRCULAR", "REFLECT"):
        pads = [((span - 1) // 2, span // 2) for span in spans]
        return {"padding": pads, "padding_mode": form.lower()}
    if form == "one pair":
        return {"padding": [FORMS[form]] * len(spans)}
    if form == "function":
        return {"padding": [FORMS[form](span) for span in spans]}
    if form == "same" and row.library == "keras":
        return {"padding": "SAME"}
    return {"padding": FORMS.get(form, form)}


@over(CONV)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions(row, geometry, rng):
    stride, dilation, groups = geometry
    x, image = images(row, rng)
    for form in forms(row):
        if form in ("CAUSAL", "causal") or (form == "same" and stride != (1, 1)):
            continue  # these have tests of their own
        given = FORMS.get(form, form)
        layer = build(row, rng, groups, padding=given, **steps(row, geometry))
        assert layer.kernel.shape == kernel_shape(row, groups)
        kernel = layer.kernel
        if row.channels_last:
            kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
        got = jaxconv.conv(
            *(image, kernel, layer.bias),
            stride=stride,
            dilation=dilation,
            groups=groups,
            **read_conv(row, form, dilation),
        )
        wanted = result(row, layer.call(x))
        np.testing.assert_allclose(got, wanted, **TOLERANCE, err_msg=form)


@over(CONV)
def test_images_are_arranged_as_the_table_says(row, rng):
    cell = row.cells["image"]
    assert cell.endswith("*space, in)") == row.channels_last
    assert ("N" in cell) == (row.library != "equinox")
    if row.library == "equinox":  # its layers refuse a batch
        layer = build(row, rng, 1)
        with pytest.raises(ValueError, match="rank"):
            layer.call(np.zeros((2, C_IN, *SPACE), np.float32))


def read_transposed(row: Row, form: str, stride: Any, dilation: Any) -> dict[str, Any]:
    """A form of padding in jaxconv's arguments, as the page says."""
    spans = spans_of(dilation)
    numbers = row.cells["numbers in padding"]
    if form in FORMS and numbers == "zeros around the input":
        value = FORMS[form]
        ends = [value, value] if form == "int" else value
        zeros = ends if form == "pairs" else [(end, end) for end in ends]
        more = [max(b - span + 1, 0) for (_, b), span in zip(zeros, spans, strict=True)]
        cut = [
            (span - 1 - a, span - 1 - b + op)
            for (a, b), span, op in zip(zeros, spans, more, strict=True)
        ]
        return {"padding": cut, "output_padding": more}
    if form in FORMS:
        assert numbers == "cut the output"
        return {"padding": FORMS[form]}
    if form.upper() == "VALID" and row.library not in ("equinox", "jaxconv"):
        more = [max(s - span, 0) for s, span in zip(stride, spans, strict=True)]
        return {"padding": 0, "output_padding": more}
    return {"padding": form.upper()}


def to_transposed(row: Row, kernel: np.ndarray, groups: int) -> np.ndarray:
    """A kernel as (in, out/groups, *window), not turned yet."""
    if row.channels_last:
        kernel = np.moveaxis(kernel, (-1, -2), (0, 1))
    layout = row.cells["kernel"]
    outputs_first = layout.startswith("(out") or layout.endswith("out)")
    return exchange(kernel, groups) if outputs_first else kernel


# Strides beyond the window too, where "VALID" differs.
@over(TRANSPOSED)
@pytest.mark.parametrize("geometry", [*GEOMETRIES, ((5, 2), (1, 1), 1)], ids=str)
def test_transposed_convolutions(row, geometry, rng):
    stride, dilation, groups = geometry
    if not row.names("dilation"):
        dilation = (1, 1)
    if not row.names("groups"):
        groups = 1
    x, image = images(row, rng)
    for form in forms(row):
        named = steps(row, (stride, dilation, groups))
        layer = build(row, rng, groups, padding=FORMS.get(form, form), **named)
        assert layer.kernel.shape == kernel_shape(row, groups)
        kernel = to_transposed(row, layer.kernel, groups)
        kernels = [kernel, np.flip(kernel, (2, 3))]
        if row.cells["turned"] == "yes":
            kernels.reverse()
        options = {"stride": stride, "dilation": dilation, "groups": groups}
        options |= read_transposed(row, form, stride, dilation)
        right, wrong = (
            jaxconv.conv_transpose(image, kernel, layer.bias, **options)
            for kernel in kernels
        )
        wanted = result(row, layer.call(x))
        np.testing.assert_allclose(right, wanted, **TOLERANCE, err_msg=form)
        assert not np.allclose(wrong, wanted, atol=1e-2)


@over(TRANSPOSED)
def test_what_a_transposed_convolution_lacks(row):
    names = row.parameters
    for column, like in (("groups", "group"), ("dilation", "dilation|rate")):
        found = {name for name in names if re.search(like, name)} - {"lhs_dilation"}
        assert found == set(row.names(column)), column
    found = {name for name in names if name.startswith("output_")}
    found -= {"output_channels"}
    assert found == set(row.names("more output"))
