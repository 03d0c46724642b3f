"""What the result of a convolution depends on."""

from __future__ import annotations

from jaxconv._inspect.summary import lattice as _lattice
from jaxconv._inspect.summary import seen as _seen
from jaxconv._inspect.summary.lattice import Window
from jaxconv._inspect.summary.read import Reading
from jaxconv._inspect.summary.seen import Equation, Seen
from jaxconv._inspect.summary.views import Axis


def convolve(eq: Equation, reading: Reading, image: Seen, kernel: Seen) -> Seen:
    """The windows of the image, and the kernel of the result's channel."""
    out = eq.of(eq.outputs[0])
    if reading.windows is None:
        return _kernel_gradient(eq, reading, image, kernel)
    _, channel, *space = reading.result_axes
    old_batch, old_channel, *old_space = reading.image_axes
    for axis, place, w in zip(old_space, space, reading.windows, strict=True):
        image = _seen.through(image, axis, w, out[place])
    if reading.batch_groups > 1:
        image = _seen.dropped(image, [old_batch], eq.sizes(0))
    image = _channels(eq, reading, image)
    image = _seen.renamed(
        image,
        dict(
            zip((old_batch, old_channel, *old_space), reading.result_axes, strict=True)
        ),
    )
    name, *summed = _kernel_sums(reading)
    kernel = _seen.dropped(kernel, summed, eq.sizes(1))
    if (
        reading.kind == "transposed"
        and reading.lowering != "lax"
        and reading.groups > 1
    ):
        kernel = _seen.dropped(kernel, [name], eq.sizes(1))
    return _seen.union([image, _seen.renamed(kernel, {name: channel})], out)


def _kernel_sums(reading: Reading) -> list[int]:
    """The kernel's axis that becomes the result's channel, then those summed over."""
    o, i, *space = reading.kernel_axes
    ours = reading.kind == "transposed" and reading.lowering != "lax"
    return [i, o, *space] if ours else [o, i, *space]


def _channels(eq: Equation, reading: Reading, image: Seen) -> Seen:
    """Each channel of the result depends on all channels of its group in the image."""
    old, new = reading.image_axes[1], reading.result_axes[1]
    feature_groups = reading.groups // reading.batch_groups
    if feature_groups == 1:
        return _seen.dropped(image, [old], eq.sizes(0))
    width = eq.inputs[0][old] // feature_groups
    each = eq.outputs[0][new] // feature_groups
    image = _seen.through(image, old, Window(k=width, s=width), feature_groups)
    sizes = (feature_groups, each)
    return _seen.along(image, old, lambda v: _lattice.merge(v, None, sizes))


def _kernel_gradient(eq: Equation, reading: Reading, x: Seen, y: Seen) -> Seen:
    """The gradient for a kernel: its two channels, at all positions of both images."""
    o, i, *_ = reading.result_axes
    results: list[Seen] = []
    for operand, (seen, axes, place) in enumerate(
        ((x, reading.image_axes, i), (y, reading.kernel_axes, o))
    ):
        batch, channel, *space = axes
        gone: list[Axis] = [batch, *space]
        if reading.groups > 1:
            gone.append(channel)
        seen = _seen.dropped(seen, gone, eq.sizes(operand))
        results.append(_seen.renamed(seen, {channel: place}))
    return _seen.union(results, eq.of(eq.outputs[0]))
