"""summarize: work, parameters and receptive fields, against papers and by counting."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxconv
import networks
from benchmarks import gains
from jaxconv._inspect.summary import summarize
from networks import shaped


def summary_of(net: networks.Net, size: int) -> Any:
    fn, params, x = networks.traced(net, 1, size, size, 3)
    return summarize(fn, params, x)


# Published numbers --------------------------------------------------------------------

# Araujo, Norris and Sim, Distill 2019: receptive field and effective stride at the end
# of the convolutional part.  427 is ResNet-50 with the strides where torchvision has
# them, in the first unit of a stage.
FIELDS = {
    "alexnet_v2": (networks.alexnet_v2, 195, 32),
    "vgg16": (networks.vgg16_features, 212, 32),
    "mobilenet_v1": (networks.mobilenet_v1_features, 315, 32),
    "resnet_v1_50": (partial(networks.resnet50_features, first=False), 483, 32),
    "resnet50, torchvision": (networks.resnet50_features, 427, 32),
    "inception_v2": (networks.inception_v2_features, 699, 32),
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_published_receptive_fields(name: str) -> None:
    net, size, stride = FIELDS[name]
    summary = summary_of(net, 224)
    assert summary.unknown == ()
    (found,) = summary.results
    for field in found["x"]:
        assert (field.size, field.stride) == (size, stride)


def test_effective_padding_of_alexnet() -> None:
    """64 on the low side, as published."""
    (found,) = summary_of(networks.alexnet_v2, 224).results
    assert [field.start for field in found["x"]] == [-64, -64]


# Parameters and multiply-adds at 224: the papers round them; in full they are those of
# torchvision's models with common counters, matrix products included.
WORK = {
    "resnet50": (networks.resnet50, 25_557_032, 4_089_184_256),
    "vgg16": (networks.vgg16, 138_357_544, 15_470_264_320),
    "mobilenet_v1": (networks.mobilenet_v1, 4_231_976, 568_740_352),
}


@pytest.mark.parametrize("name", WORK)
def test_published_parameters_and_multiply_adds(name: str) -> None:
    net, parameters, multiply_adds = WORK[name]
    totals = summary_of(net, 224).totals
    assert totals.parameters + totals.parameters_elsewhere == parameters
    assert totals.multiply_adds + totals.products == multiply_adds
    assert totals.multiply_adds_valid < totals.multiply_adds


def test_biases_belong_to_their_convolutions() -> None:
    """VGG-16's convolutions have 14,714,688 parameters, biases included."""
    assert summary_of(networks.vgg16, 224).totals.parameters == 14_714_688


# Where other counters go wrong --------------------------------------------------------

# (x, kernel, options, multiply-adds), channels first: x and kernel of conv_transpose.
TRANSPOSED = {
    "plain": ((2, 4, 8, 8), (4, 6, 4, 4), {"stride": 2, "padding": 1}, 49152),
    "depthwise": (
        (2, 4, 8, 8),
        (4, 1, 3, 3),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 4},
        4608,
    ),
    "grouped": ((2, 6, 8, 8), (6, 2, 2, 2), {"stride": 2, "groups": 3}, 6144),
    "small": ((1, 3, 2, 2), (3, 1, 2, 2), {"stride": 2}, 48),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolutions_are_counted_by_their_inputs(name: str) -> None:
    x, kernel, options, expected = TRANSPOSED[name]
    summary = summarize(jaxconv.conv_transpose, *shaped(x, kernel), **options)
    (layer,) = summary.layers
    assert layer.kind == "transposed"
    assert layer.multiply_adds == expected
    assert layer.flops == 2 * expected
    assert layer.parameters == np.prod(kernel)
    cost = jaxconv.cost(x, kernel, transposed=True, **options)
    assert layer.multiply_adds_valid == cost.multiply_adds_valid
    assert layer.bytes == cost.bytes
    assert layer.result == cost.output_shape


@pytest.mark.parametrize("name", TRANSPOSED)
def test_so_are_those_of_lax_with_a_dilated_input(name: str) -> None:
    x, kernel, options, expected = TRANSPOSED[name]
    groups, s = options.get("groups", 1), options["stride"]
    low = kernel[2] - 1 - options.get("padding", 0)
    pads = [(low, low + options.get("output_padding", 0))] * 2
    swapped = (kernel[1] * groups, kernel[0] // groups, *kernel[2:])
    fn = partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding=pads,
        lhs_dilation=(s, s), feature_group_count=groups,
    )  # fmt: skip
    (layer,) = summarize(fn, *shaped(x, swapped)).layers
    ours = summarize(jaxconv.conv_transpose, *shaped(x, kernel), **options).layers[0]
    assert layer.multiply_adds == expected
    assert layer.multiply_adds_valid == ours.multiply_adds_valid
    assert (layer.kind, layer.stride, layer.padding) == (
        ours.kind, ours.stride, ours.padding,
    )  # fmt: skip
    assert list(layer.receptive_field.values()) == list(ours.receptive_field.values())
    assert (layer.lowering, layer.reason[:13]) == ("lax", "a convolution")


def test_taps_on_padding_are_counted_apart() -> None:
    """XLA's analysis leaves them out: 196 flops, and 256 with them."""
    fn = partial(
        lax.conv_general_dilated, window_strides=(1, 1), padding="SAME",
        dimension_numbers=networks.NUMBERS,
    )  # fmt: skip
    (layer,) = summarize(fn, *shaped((1, 4, 4, 1), (2, 2, 1, 2))).layers
    assert (layer.flops, 2 * layer.multiply_adds_valid) == (256, 196)


@pytest.mark.parametrize("dilated", [(2, 3), (3, 1)])
def test_inserted_zeros_are_no_valid_taps(dilated: tuple[int, int]) -> None:
    """Against counting them one by one, all three steps above 1."""
    i, k, s, d, pads = (5, 6), (4, 3), (3, 2), (2, 5), ((4, 7), (9, 5))
    fn = partial(
        lax.conv_general_dilated, window_strides=s, padding=pads,
        lhs_dilation=dilated, rhs_dilation=d,
    )  # fmt: skip
    (layer,) = summarize(fn, *shaped((2, 3, *i), (4, 3, *k))).layers
    met = inside = 2 * 3 * 4
    for axis in range(2):
        reads = [
            p * s[axis] + t * d[axis] - pads[axis][0]
            for p in range(layer.result[2 + axis])
            for t in range(k[axis])
        ]
        places = [read // dilated[axis] for read in reads if read % dilated[axis] == 0]
        inside *= sum(0 <= place < i[axis] for place in places)
        if dilated[axis] == 1:
            assert len(places) == len(reads)
        met *= len(places)
    assert (layer.multiply_adds, layer.multiply_adds_valid) == (met, inside)


def test_groups_divide_the_work() -> None:
    x, kernel = shaped((2, 6, 9, 7), (6, 1, 3, 3))
    (depthwise,) = summarize(jaxconv.conv, x, kernel, groups=6).layers
    assert depthwise.multiply_adds == 2 * 6 * 9 * 7 * 5
    assert depthwise.parameters == 54
    assert depthwise.groups == 6


def test_dilation_counts_in_the_field_and_units_are_placed() -> None:
    x, kernel = shaped((1, 1, 40), (1, 1, 3))

    def fn(x: Any, kernel: Any) -> Any:
        y = jaxconv.conv(x, kernel, stride=2, padding=1)
        return jaxconv.conv(y, kernel, dilation=4, padding=3)

    found = [layer.receptive_field["x"] for layer in summarize(fn, x, kernel).layers]
    layers = [
        {"kernel": 3, "stride": 2, "padding": 1},
        {"kernel": 3, "dilation": 4, "padding": 3},
    ]
    assert found == [(jaxconv.receptive_field(layers[:n]),) for n in (1, 2)]


def test_intensity_is_flops_by_bytes() -> None:
    x, kernel = (
        jax.ShapeDtypeStruct(shape, jnp.bfloat16)
        for shape in ((1, 64, 14, 14), (32, 64, 1, 1))
    )
    (layer,) = summarize(jaxconv.conv, x, kernel).layers
    moved = 2 * (64 * 196 + 64 * 32 + 32 * 196)
    assert (layer.bytes, layer.dtype) == (moved, "bfloat16")
    assert layer.intensity == pytest.approx(2 * 64 * 32 * 196 / moved)


# The result ---------------------------------------------------------------------------


def test_table_and_json_say_the_same() -> None:
    fn, params, x = networks.traced(networks.resnet50, 1, 64, 64, 3)
    summary = summarize(fn, params, x)
    read = json.loads(summary.to_json())
    assert read["format"] == "jaxconv summary 1"
    assert read["inputs"] == {"x": [1, 64, 64, 3]}
    assert read["totals"]["multiply_adds"] == summary.totals.multiply_adds
    assert [v["kernel"] for v in read["layers"]] == [
        list(v.kernel) for v in summary.layers
    ]
    field = summary.layers[-1].receptive_field["x"][0]
    assert read["layers"][-1]["receptive_field"]["x"][0] == field._asdict()
    lines = str(summary).splitlines()
    assert max(map(len, lines)) <= 100
    assert len([v for v in lines if v.lstrip()[:1].isdigit()]) == 54
    assert "7×7 /2 pad 3:2" in lines[2]
    assert lines[55].split()[1:4] == ["params[159]", "dense", "1×1000"]
    assert "25.5M" in lines[56]  # convolutions and the dense layer
    assert lines[58].startswith("Parameters: 25,557,032 = 23,454,912 of convolutions")


def test_html_has_every_row_and_escapes_names() -> None:
    def fn(params: Any, x: Any) -> Any:
        y = jaxconv.conv(x, params["<b>"]["kernel"])
        return y.reshape(2, -1) @ params["head"]

    x, kernel, head = shaped((2, 3, 6, 5), (4, 3, 3, 2), (4 * 4 * 4, 7))
    summary = summarize(fn, {"<b>": {"kernel": kernel}, "head": head}, x)
    found = summary._repr_html_()
    assert "&lt;b&gt;" in found
    assert "<b>" not in found
    assert found.count("<tr>") == 4  # heads, two layers, their sum
    assert [p.parameters for p in summary.products] == [4 * 4 * 4 * 7]


def test_on_the_way_back_cotangents_are_no_parameters() -> None:
    """Every weight is counted once, however often a gradient reads it."""

    def loss(params: Any, x: Any) -> Any:
        y = jax.nn.relu(jaxconv.conv(x, params["first"], padding=1))
        y = jaxconv.conv(y, params["second"], padding=1)
        return (y.mean((2, 3)) @ params["head"]).sum()

    x, first, second, head = shaped((2, 3, 8, 9), (6, 3, 3, 3), (5, 6, 3, 3), (5, 4))
    params = {"first": first, "second": second, "head": head}
    summary = summarize(jax.grad(loss), params, x)
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    t = summary.totals
    assert t.parameters + t.parameters_elsewhere == sum(sizes)
    kinds = {layer.name: layer.kind for layer in summary.layers[:2]}
    assert kinds == {"first": "convolution", "second": "convolution"}


def test_fractions_are_numbers_in_json() -> None:
    x, kernel = shaped((1, 1, 9), (1, 1, 4))
    summary = summarize(jaxconv.conv_transpose, x, kernel, stride=3)
    (field,) = summary.layers[0].receptive_field["x"]
    assert field.stride * 3 == 1
    read = json.loads(summary.to_json())["layers"][0]["receptive_field"]["x"][0]
    assert read == {"size": 2, "stride": float(field.stride), "start": -1}


def test_lowerings_are_those_of_the_platform() -> None:
    x, kernel = shaped((1, 32, 20, 20), (32, 1, 3, 3))
    for platform in ("cpu", "gpu"):
        (layer,) = summarize(
            jaxconv.conv, x, kernel, groups=32, platform=platform
        ).layers
        text = jaxconv.explain(jaxconv.conv, x, kernel, groups=32, platform=platform)
        assert f"lowering {layer.lowering!r}" in text
        rule, _, evidence = layer.reason.partition(": ")
        wanted = f"{rule}\n   measured: {evidence}" if platform == "cpu" else rule
        assert evidence or platform == "gpu"
        assert f"because: {wanted}" in text


# What is gained over lax --------------------------------------------------------------


def test_gains_are_those_of_the_committed_table() -> None:
    assert gains.WRITTEN.read_text("utf-8") == gains.text()


@pytest.mark.parametrize(("batch", "known"), [(8, True), (9, True), (256, False)])
def test_a_measured_layer_has_its_gain(batch: int, known: bool) -> None:
    """Called through jaxconv or lax, there and back, and with another batch."""
    measured = json.loads(gains.WRITTEN.read_text("utf-8"))["layers"]
    wanted = {
        layer["role"]: layer["gain"]
        for layer in measured
        if layer["sizes"] == [8, 1, 1, 96, 112, 112] and layer["stride"] == [2, 2]
    }
    x, kernel = shaped((batch, 96, 112, 112), (96, 1, 3, 3))
    conv = partial(jaxconv.conv, stride=2, padding=1, groups=96)
    pads = {"padding": 1, "output_padding": 1, "groups": 96}
    back = partial(jaxconv.conv_transpose, stride=2, **pads)
    y = jax.eval_shape(conv, x, kernel)
    for fn, role, image in (
        (conv, "output", x),
        (back, "input", y),
        (jaxconv.to_lax(conv), "output", x),
    ):
        (layer,) = summarize(fn, image, kernel, platform="cpu").layers
        assert layer.gain == (wanted[role] if known else None), role


def test_gains_are_a_column_where_there_are_any() -> None:
    shapes = shaped((1, 64, 56, 56), (64, 64, 3, 3), (1, 64, 5, 7))

    def net(x: Any, like: Any, unlike: Any) -> Any:
        return jaxconv.conv(jaxconv.conv(x, like, padding=1), unlike)

    found = summarize(net, *shapes, platform="cpu")
    head, _, first, second, *_ = str(found).splitlines()
    assert head.endswith("gain")
    assert first.endswith("×")
    assert len(second) < len(head)
    assert "gain: how many times" in str(found) == repr(found)
    assert ">gain<" in found._repr_html_()
    work = found.plot().axes[0]
    assert [text.get_text().strip() for text in work.texts] == [first.split()[-1]]
    elsewhere = summarize(net, *shapes, platform="cuda")
    assert [layer.gain for layer in elsewhere.layers] == [None, None]
    assert "gain" not in str(elsewhere)


def test_picture(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib", reason="plot() needs matplotlib")
    fn, params, x = networks.traced(networks.mobilenet_v1, 1, 96, 96, 3)
    summary = summarize(fn, params, x)
    figure = summary.plot()
    figure.savefig(tmp_path / "summary.png")
    work, field = figure.axes
    assert len(work.patches) == 2 * (len(summary.layers) + len(summary.products))
    assert [label.get_text() for label in work.get_yticklabels()][:2] == [
        summary.layers[0].name, summary.layers[1].name,
    ]  # fmt: skip
    first, second = (patch.get_facecolor() for patch in work.patches[:2])
    assert first[:3] != second[:3]  # a full convolution and a depthwise one
    assert work.patches[0].get_width() == summary.layers[0].multiply_adds
    (line,) = field.get_lines()
    assert list(line.get_xdata())[-1] == 315
