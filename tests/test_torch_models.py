"""Models defined in PyTorch, run by pure functions that take their state_dict as it is.

The layouts agree, so no weight is moved, flipped or transposed on the way.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxconv
from frameworks import quick_to_compile

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn

TOLERANCE = 1e-4  # of float32, relative to the largest element


# PyTorch's side, with torchvision's names ---------------------------------------------


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, c_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(c_in, width, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    expansion = 4
    groups = 1

    def __init__(self, c_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(
            *(width, width, 3, stride, 1), groups=self.groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = shortcut(c_in, 4 * width, stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Grouped(Bottleneck):
    groups = 2


def shortcut(c_in, c_out, stride):
    if stride == 1 and c_in == c_out:
        return nn.Sequential()
    conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(c_out))


class ResNet(nn.Module):
    def __init__(self, block, depths, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        c_in, self.depths = width, depths
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                stride = 2 if i and not j else 1
                blocks.append(block(c_in, width * 2**i, stride))
                c_in = width * 2**i * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(c_in, classes)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for i in range(len(self.depths)):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(x.mean((2, 3)))


class Generator(nn.Module):
    """DCGAN's: from a vector to an image, by transposed convolutions only."""

    def __init__(self, latent, widths):
        super().__init__()
        layers = [nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False)]
        for c_in, c_out in pairwise(widths):
            layers += [nn.BatchNorm2d(c_in), nn.ReLU()]
            layers += [nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=c_out == 3)]
        self.main = nn.Sequential(*layers, nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


# The same in JAX ----------------------------------------------------------------------


def batch_norm(p, name, x):
    scale = p[f"{name}.weight"] / jnp.sqrt(p[f"{name}.running_var"] + 1e-5)
    shift = p[f"{name}.bias"] - scale * p[f"{name}.running_mean"]
    return x * scale.reshape(1, -1, 1, 1) + shift.reshape(1, -1, 1, 1)


def conv_bn(p, conv, bn, x, **options):
    kernel = p[f"{conv}.weight"]
    groups = x.shape[1] // kernel.shape[1]
    return batch_norm(p, bn, jaxconv.conv(x, kernel, groups=groups, **options))


def max_pool(x):
    window, pads = (1, 1, 3, 3), ((0, 0), (0, 0), (1, 1), (1, 1))
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, (1, 1, 2, 2), pads)


def block(p, name, x, stride):
    """A basic block if it has two convolutions, a bottleneck if it has three."""
    layers = [{"stride": stride, "padding": 1}, {"padding": 1}]
    if f"{name}.conv3.weight" in p:
        layers = [{}, {"stride": stride, "padding": 1}, {}]
    y = x
    for i, options in enumerate(layers, start=1):
        y = y if i == 1 else jax.nn.relu(y)
        y = conv_bn(p, f"{name}.conv{i}", f"{name}.bn{i}", y, **options)
    if f"{name}.downsample.0.weight" in p:
        parts = f"{name}.downsample.0", f"{name}.downsample.1"
        x = conv_bn(p, *parts, x, stride=stride)
    return jax.nn.relu(y + x)


def resnet(p, x, *, depths):
    x = max_pool(jax.nn.relu(conv_bn(p, "conv1", "bn1", x, stride=2, padding=3)))
    for i, depth in enumerate(depths):
        for j in range(depth):
            x = block(p, f"layer{i + 1}.{j}", x, 2 if i and not j else 1)
    return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"][None]


def generator(p, z, *, layers):
    x = jaxconv.conv_transpose(z[:, :, None, None], p["main.0.weight"])
    for i in range(1, 3 * layers, 3):
        x = jax.nn.relu(batch_norm(p, f"main.{i}", x))
        kernel, bias = p[f"main.{i + 2}.weight"], p.get(f"main.{i + 2}.bias")
        x = jaxconv.conv_transpose(x, kernel, bias, stride=2, padding=1)
    return jnp.tanh(x)


# The comparison -----------------------------------------------------------------------


def shake(model, rng):
    """Random running statistics, scales and biases; kernels that keep the scale."""
    for value in model.state_dict().values():
        if not value.is_floating_point():
            continue  # how many batches the statistics are of
        values = rng.standard_normal(tuple(value.shape)) / value[0].numel() ** 0.5
        if value.ndim == 1:
            values = rng.uniform(0.5, 1.5, tuple(value.shape))
        value.copy_(torch.from_numpy(values))
    return model.eval()


def agree(model, function, shape, rng):
    """Outputs, and gradients of their random projection with respect to the input."""
    model = shake(model, rng)
    params = {name: jnp.asarray(v.numpy()) for name, v in model.state_dict().items()}
    x = rng.standard_normal(shape).astype(np.float32)
    wanted_x = torch.from_numpy(x).requires_grad_()
    wanted = model(wanted_x)
    y = rng.standard_normal(tuple(wanted.shape)).astype(np.float32)
    wanted.backward(torch.from_numpy(y))

    @jax.jit
    def both(params, x, y):
        value, pull = jax.vjp(partial(function, params), x)
        return value, pull(y)[0]

    with quick_to_compile():
        results = both(params, x, y)
    for got, target in zip(results, (wanted, wanted_x.grad), strict=True):
        target = target.detach().numpy()
        assert target.std() > 1e-3 * abs(target).max()  # not constant
        limit = TOLERANCE * abs(target).max()
        np.testing.assert_allclose(got, target, rtol=0, atol=limit)


@pytest.mark.parametrize("kind", [BasicBlock, Bottleneck, Grouped])
def test_resnet_runs_from_its_state_dict(kind, rng):
    depths = (2, 1, 1)
    model = ResNet(kind, depths, width=6, classes=7)
    agree(model, partial(resnet, depths=depths), (2, 3, 37, 43), rng)


def test_dcgan_generator_runs_from_its_state_dict(rng):
    widths = (12, 10, 8, 3)
    function = partial(generator, layers=len(widths) - 1)
    agree(Generator(5, widths), function, (2, 5), rng)


def test_weights_go_back_into_pytorch(rng):
    """The other direction is as plain: from_numpy, and no axis moves."""
    kernel = jnp.asarray(rng.standard_normal((4, 3, 2, 5)), jnp.float32)
    x = jnp.asarray(rng.standard_normal((2, 4, 6, 7)), jnp.float32)
    layer = nn.ConvTranspose2d(4, 3, (2, 5), 2, 1, bias=False)
    layer.load_state_dict({"weight": torch.from_numpy(np.array(kernel))})
    got = layer(torch.from_numpy(np.array(x))).detach().numpy()
    wanted = jaxconv.conv_transpose(x, kernel, stride=2, padding=1)
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5)
