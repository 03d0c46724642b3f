"""The layers of `jaxconv.nnx` and `jaxconv.equinox`, against PyTorch's."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
PAGE = Path(__file__).parent.parent / "docs" / "layers.md"
FRAMEWORKS = {"nnx": "flax", "equinox": "equinox"}
TOLERANCE = 1e-4  # of float32, relative to the largest element


pytestmark = pytest.mark.usefixtures("as_users_have_it")


class Kit:
    """One framework's layers with their source of random numbers filled in."""

    def __init__(self, name: str) -> None:
        pytest.importorskip(FRAMEWORKS[name], reason=f"{FRAMEWORKS[name]} is missing")
        self.name = name
        self.layers: ModuleType = importlib.import_module(f"jaxconv.{name}")
        self._keys = iter(range(1000))

    def make(self, kind: str, *sizes: Any, **options: Any) -> Any:
        if self.name == "nnx":
            from flax import nnx

            options["rngs"] = nnx.Rngs(next(self._keys))
        else:
            options["key"] = jax.random.key(next(self._keys))
        return getattr(self.layers, kind)(*sizes, **options)

    def network(self, **parts: Any) -> Any:
        """A module with these attributes, layers and lists of layers."""
        if self.name == "nnx":
            from flax import nnx

            network = nnx.Module()
            for name, part in parts.items():
                many = isinstance(part, list)
                setattr(network, name, nnx.List(part) if many else part)
            return network
        import equinox as eqx

        fields = {"__annotations__": dict.fromkeys(parts, Any)}
        return type("Network", (eqx.Module,), fields)(**parts)

    def pure(self, network: Any) -> tuple[Any, Callable[[Any], Any]]:
        """The arrays of a network, and what makes a network of such arrays."""
        if self.name == "nnx":
            from flax import nnx

            graph, state = nnx.split(network)
            return state, lambda state: nnx.merge(graph, state)
        import equinox as eqx

        arrays, rest = eqx.partition(network, eqx.is_array)
        return arrays, lambda arrays: eqx.combine(arrays, rest)


@pytest.fixture(params=FRAMEWORKS)
def kit(request: pytest.FixtureRequest) -> Kit:
    return Kit(request.param)


# Models of PyTorch --------------------------------------------------------------------


class TorchUNet(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.ModuleList(
            [nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1, groups=2, bias=False)]
        )
        up = [nn.ConvTranspose2d(8, 6, 3, 2, 1, groups=2)]
        up += [nn.ConvTranspose2d(12, 4, (3, 4), 2, 1, bias=False)]
        self.up = nn.ModuleList(up)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(8, 2, 1, padding_mode="zeros")

    def forward(self, x: Any) -> Any:
        a = torch.relu(self.first(x))
        b = torch.relu(self.down[0](a))
        c = torch.relu(self.norm(self.down[1](b)))
        b = torch.cat([torch.relu(self.up[0](c)), b], 1)
        return self.last(torch.cat([torch.relu(self.up[1](b)), a], 1))


def unet_of(kit: Kit, layout: str) -> Any:
    def conv(*sizes: Any, **options: Any) -> Any:
        return kit.make("Conv", *sizes, layout=layout, **options)

    def up(*sizes: Any, **options: Any) -> Any:
        return kit.make("ConvTranspose", *sizes, layout=layout, **options)

    half = {"stride": 2, "padding": 1}
    return kit.network(
        first=conv(3, 4, (3, 3), padding=1),
        down=[
            conv(4, 6, (3, 3), **half),
            conv(6, 8, [3, 3], **half, groups=2, bias=False),
        ],
        up=[
            up(8, 6, (3, 3), **half, groups=2),
            up(12, 4, (3, 4), **half, bias=False),
        ],
        last=conv(8, 2, (1, 1)),
    )


def unet(net: Any, norm: Callable[..., Any], x: Any, axis: int) -> Any:
    a = jax.nn.relu(net.first(x))
    b = jax.nn.relu(net.down[0](a))
    c = jax.nn.relu(norm("norm", net.down[1](b)))
    b = jnp.concatenate([jax.nn.relu(net.up[0](c)), b], axis)
    return net.last(jnp.concatenate([jax.nn.relu(net.up[1](b)), a], axis))


WIDTHS = (5, 8, 6, 3)


def torch_dcgan() -> Any:
    """The generator, with the names that its Sequential gives."""
    nn, parts = torch.nn, []
    for at, (c_in, c_out) in enumerate(pairwise(WIDTHS)):
        where = (4, 2, 1) if at else (4, 1, 0)
        parts += [nn.ConvTranspose2d(c_in, c_out, *where, bias=False)]
        parts += [nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*parts[:-2], nn.Tanh())


def dcgan_of(kit: Kit, layout: str) -> Any:
    parts: list[Any] = []
    for at, (c_in, c_out) in enumerate(pairwise(WIDTHS)):
        where = {"stride": 2, "padding": 1} if at else {}
        layer = kit.make(
            "ConvTranspose", c_in, c_out, (4, 4), **where, bias=False, layout=layout
        )
        parts += [layer, None, None]
    return kit.network(main=parts)


def dcgan(net: Any, norm: Callable[..., Any], z: Any, axis: int) -> Any:
    x = jax.nn.relu(norm("main.1", net.main[0](z)))
    x = jax.nn.relu(norm("main.4", net.main[3](x)))
    return jnp.tanh(net.main[6](x))


# The comparison -----------------------------------------------------------------------


def shaken(model: Any, rng: np.random.Generator) -> Any:
    """Random running statistics, scales and shifts, and random kernels."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            positive = "norm" in name or value.ndim == 1
            drawn = rng.uniform(0.5, 1.5, value.shape) if positive else None
            if drawn is None:
                scale = value[0].numel() ** 0.5
                drawn = rng.standard_normal(tuple(value.shape)) / scale
            value.copy_(torch.from_numpy(np.asarray(drawn)))
    return model.eval()


def normaliser(state: dict[str, Any], axis: int) -> Callable[..., Any]:
    """PyTorch's batch normalisation outside training, from the checkpoint."""

    def norm(name: str, x: Any) -> Any:
        names = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (state[f"{name}.{v}"].numpy() for v in names)
        factor = scale / np.sqrt(variance + 1e-5)
        shape = [1] * x.ndim
        shape[axis] = -1
        return x * factor.reshape(shape) + (shift - mean * factor).reshape(shape)

    return norm


def close(got: Any, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert wanted.std() > 1e-3 * abs(wanted).max()  # not constant
    limit = TOLERANCE * abs(wanted).max()
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=0, atol=limit)


MODELS: dict[str, Any] = {
    "U-Net": (TorchUNet, unet_of, unet, (2, 3, 17, 14), "first", "down.1"),
    "DCGAN": (
        lambda: torch.nn.ModuleDict({"main": torch_dcgan()}),
        *(dcgan_of, dcgan, (3, 5, 1, 1), "main.0", "main.6"),
    ),
}


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_gives_pytorchs_values_and_gradients(
    name: str, layout: str, kit: Kit, rng: np.random.Generator
) -> None:
    make_torch, make, forward, shape, *gradients = MODELS[name]
    model = shaken(make_torch(), rng)
    images = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
    wanted = model["main"](images) if name == "DCGAN" else model(images)
    pulled = torch.from_numpy(rng.standard_normal(wanted.shape).astype(np.float32))
    wanted.backward(pulled)

    state = model.state_dict()
    network = kit.layers.from_torch(make(kit, layout), state)
    last = layout == "channels_last"
    axis = -1 if last else 1
    norm = normaliser(state, axis)
    x, y = (np.moveaxis(v.numpy(), 1, axis) for v in (images, pulled))
    arrays, merge = kit.pure(network)

    @jax.jit
    def both(arrays: Any) -> Any:
        value, pull = jax.vjp(lambda a: forward(merge(a), norm, x, axis), arrays)
        return value, pull(jnp.asarray(y))[0]

    value, gradient = both(arrays)
    close(np.moveaxis(np.asarray(value), axis, 1), wanted.detach().numpy())
    for path in gradients:
        found: Any = merge(gradient)
        for part in path.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        kernel = np.asarray(found.kernel[...])
        kernel = np.moveaxis(kernel, (-1, -2), (0, 1)) if last else kernel
        close(kernel, model.get_parameter(f"{path}.weight").grad.numpy())


# Deformable convolution ---------------------------------------------------------------


@pytest.mark.parametrize("layout", ["channels_first", "channels_last"])
def test_a_deformable_layer_starts_as_half_a_convolution(
    layout: str, kit: Kit, rng: np.random.Generator
) -> None:
    options = {"stride": 2, "padding": 1, "groups": 2, "layout": layout}
    layer = kit.make("DeformConv", 4, 6, (3, 2), **options, offset_groups=2)
    shape = (2, 4, 9, 7) if layout == "channels_first" else (2, 9, 7, 4)
    x = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    bias = layer.bias[...]
    spread = bias.reshape(1, -1, 1, 1) if layout == "channels_first" else bias
    plain = jaxconv.conv(x, layer.kernel[...], **options)
    close(layer(x) - spread, plain / 2)


@pytest.mark.parametrize("masked", [True, False])
def test_offsets_and_masks_come_from_the_convolution(
    masked: bool, kit: Kit, rng: np.random.Generator
) -> None:
    """From a checkpoint, in the order that the layer says; vmap and jit go through."""
    layer = kit.make("DeformConv", 4, 6, (3, 2), padding=1, mask=masked)
    channels = 12 + 6 * masked
    shapes = {"weight": (6, 4, 3, 2), "bias": (6,)}
    shapes |= {"conv_offset.weight": (channels, 4, 3, 2)}
    shapes |= {"conv_offset.bias": (channels,)}
    state = {
        name: rng.standard_normal(shape).astype(np.float32) / 3
        for name, shape in shapes.items()
    }
    layer = kit.layers.from_torch(layer, state)
    x = jnp.asarray(rng.standard_normal((2, 4, 8, 7)), jnp.float32)
    names = ("conv_offset.weight", "conv_offset.bias")
    found = jaxconv.conv(x, *(jnp.asarray(state[n]) for n in names), padding=1)
    wanted = jaxconv.deform_conv(
        x,
        found[:, :12],
        jnp.asarray(state["weight"]),
        jnp.asarray(state["bias"]),
        mask=jax.nn.sigmoid(found[:, 12:]) if masked else None,
        padding=1,
    )
    arrays, merge = kit.pure(layer)
    close(jax.jit(lambda a, x: merge(a)(x))(arrays, x), wanted)
    close(jax.vmap(layer)(x), wanted)


# Weights and errors -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "peer"), [("Conv", "Conv2d"), ("ConvTranspose", "ConvTranspose2d")]
)
def test_weights_start_as_pytorchs(kind: str, peer: str, kit: Kit) -> None:
    layer = kit.make(kind, 48, 96, (3, 5), groups=2)
    other = getattr(torch.nn, peer)(48, 96, (3, 5), groups=2)
    for name, theirs in (("kernel", other.weight), ("bias", other.bias)):
        ours = np.asarray(getattr(layer, name)[...])
        assert ours.shape == tuple(theirs.shape)
        theirs = theirs.detach().numpy()
        assert abs(ours).max() == pytest.approx(abs(theirs).max(), rel=0.05)
        assert ours.std() == pytest.approx(theirs.std(), rel=0.3)


def test_wrong_sizes_say_what_to_write(kit: Kit) -> None:
    with pytest.raises(TypeError, match=r"kernel_size=3: is not a tuple. Write one"):
        kit.make("Conv", 4, 6, 3)
    with pytest.raises(ValueError, match=r"in_channels=4: cannot be split into gro"):
        kit.make("ConvTranspose", 4, 6, (3,), groups=3)
    with pytest.raises(ValueError, match=r"offset_groups=0"):
        kit.make("DeformConv", 4, 6, (3,), offset_groups=0)


def test_a_checkpoint_that_does_not_fit_is_refused(kit: Kit) -> None:
    weight, bias = np.ones((6, 4, 3), np.float32), np.ones(6, np.float32)
    network = kit.network(conv=kit.make("Conv", 4, 6, (3,)))
    state = {"conv.weight": weight, "conv.bias": bias, "fc.weight": np.ones((2, 6))}
    kit.layers.from_torch(network, state)  # a linear layer is left alone
    for wrong, said in (
        ({"conv.weight": weight}, r"'conv.bias': is missing"),
        ({"first.weight": weight}, r"'conv.weight': is missing.*there are first.wei"),
        ({**state, "conv.weight": weight[:, :3]}, r"has the shape \(6, 3, 3\)"),
        ({**state, "up.weight": weight}, r"'up.weight': is a convolution that the"),
    ):
        with pytest.raises(ValueError, match=said):
            kit.layers.from_torch(network, wrong)
    plain = kit.network(conv=kit.make("Conv", 4, 6, (3,), bias=False))
    with pytest.raises(ValueError, match=r"'conv.bias': has no place in the model"):
        kit.layers.from_torch(plain, state)


# The page -----------------------------------------------------------------------------


def test_the_page_runs_and_prints_what_it_says() -> None:
    for framework in FRAMEWORKS.values():
        pytest.importorskip(framework, reason=f"{framework} is missing")
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == text.count("```python") > 3
    scope: dict[str, Any] = {}
    for code, said in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, PAGE.name, "exec"), scope)
        assert out.getvalue() == said
