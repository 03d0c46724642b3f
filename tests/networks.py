"""Well-known networks as plain functions, for tests that trace and never compute.

``make(*shape)`` gives a parameter; `traced` turns such a function into one of a list of
parameters and an image, with their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Make = Callable[..., Any]
Net = Callable[[Make, Any], Any]
NUMBERS = ("NHWC", "HWIO", "NHWC")


def traced(net: Net, *shape: int) -> tuple[Callable[..., Any], list[Any], Any]:
    """The network as fn(params, x), the shapes of its parameters, and that of x."""
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    found: list[Any] = []

    def record(*size: int) -> Any:
        found.append(jax.ShapeDtypeStruct(size, jnp.float32))
        return jnp.zeros(size, jnp.float32)

    jax.eval_shape(partial(net, record), x)

    def fn(params: Sequence[Any], x: Any) -> Any:
        remaining = iter(params)
        return net(lambda *size: next(remaining), x)

    return fn, found, x


def shaped(*shapes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]


def conv(
    make: Make, x: Any, features: int, k: int, stride: int = 1, *,
    padding: Any = "SAME", groups: int = 1, norm: bool = False, bias: bool = False,
    relu: bool = True,
) -> Any:  # fmt: skip
    kernel = make(k, k, x.shape[-1] // groups, features)
    if isinstance(padding, int):
        padding = [(padding, padding)] * 2
    x = lax.conv_general_dilated(
        x, kernel, (stride, stride), padding, dimension_numbers=NUMBERS,
        feature_group_count=groups,
    )  # fmt: skip
    if bias:
        x = x + _vector(make, features)
    if norm:
        x = x * _vector(make, features) + _vector(make, features)
    return jax.nn.relu(x) if relu else x


def _vector(make: Make, features: int) -> Any:
    return make(features).reshape(1, 1, 1, features)


def pool(x: Any, k: int, stride: int, padding: Any = "SAME") -> Any:
    if isinstance(padding, int):
        padding = [(0, 0), *[(padding, padding)] * 2, (0, 0)]
    sizes = (1, k, k, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, *sizes, padding)


def dense(make: Make, x: Any, features: int, relu: bool = False) -> Any:
    x = x @ make(x.shape[-1], features) + make(features).reshape(1, features)
    return jax.nn.relu(x) if relu else x


def alexnet_v2(make: Make, x: Any) -> Any:
    x = conv(make, x, 64, 11, 4, padding="VALID")
    x = conv(make, pool(x, 3, 2, "VALID"), 192, 5)
    x = pool(x, 3, 2, "VALID")
    for features in (384, 384, 256):
        x = conv(make, x, features, 3)
    return pool(x, 3, 2, "VALID")


def vgg16_features(make: Make, x: Any) -> Any:
    for count, features in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            x = conv(make, x, features, 3, bias=True)
        x = pool(x, 2, 2)
    return x


def vgg16(make: Make, x: Any) -> Any:
    x = vgg16_features(make, x)
    x = x.reshape(x.shape[0], -1)
    for features in (4096, 4096):
        x = dense(make, x, features, relu=True)
    return dense(make, x, 1000)


def mobilenet_v1_features(make: Make, x: Any) -> Any:
    x = conv(make, x, 32, 3, 2, norm=True)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    for features, stride in [*plan, *[(512, 1)] * 5, (1024, 2), (1024, 1)]:
        x = conv(make, x, x.shape[-1], 3, stride, groups=x.shape[-1], norm=True)
        x = conv(make, x, features, 1, norm=True)
    return x


def mobilenet_v1(make: Make, x: Any) -> Any:
    return dense(make, mobilenet_v1_features(make, x).mean((1, 2)), 1000)


def resnet50_features(make: Make, x: Any, *, first: bool = True) -> Any:
    """The stride in the first unit of a stage, as in torchvision, or in the last."""
    x = pool(conv(make, x, 64, 7, 2, padding=3, norm=True), 3, 2, 1)
    for stage, (units, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for unit in range(units):
            if first:
                stride = 2 if stage > 0 and unit == 0 else 1
            else:
                stride = 2 if stage < 3 and unit == units - 1 else 1
            x = _bottleneck(make, x, width, stride, project=unit == 0)
    return x


def _bottleneck(make: Make, x: Any, width: int, stride: int, *, project: bool) -> Any:
    y = conv(make, x, width, 1, norm=True)
    y = conv(make, y, width, 3, stride, padding=1, norm=True)
    y = conv(make, y, 4 * width, 1, norm=True, relu=False)
    if project:
        x = conv(make, x, 4 * width, 1, stride, norm=True, relu=False)
    elif stride > 1:
        x = x[:, ::stride, ::stride]
    return jax.nn.relu(x + y)


def resnet50(make: Make, x: Any) -> Any:
    return dense(make, resnet50_features(make, x).mean((1, 2)), 1000)


def inception_v2_features(make: Make, x: Any) -> Any:
    """The graph of branches; every convolution has few features."""
    x = conv(make, x, 8, 7, 2)
    x = conv(make, conv(make, pool(x, 3, 2), 8, 1), 12, 3)
    x = pool(x, 3, 2)
    for stride in (1, 1, 2, 1, 1, 1, 1, 2, 1, 1):
        branches = [
            conv(make, conv(make, x, 4, 1), 6, 3, stride),
            conv(make, conv(make, conv(make, x, 4, 1), 6, 3), 5, 3, stride),
            pool(x, 3, stride),
        ]
        if stride == 1:
            branches += [conv(make, x, 4, 1)]
            branches[2] = conv(make, branches[2], 3, 1)
        x = jnp.concatenate(branches, axis=-1)
    return x
