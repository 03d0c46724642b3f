"""A transposed convolution in two views: one to many, and as a convolution."""

from __future__ import annotations

from jaxconv._border import arguments as can
from jaxconv._border.arguments import IntLike, PaddingLike
from jaxconv.viz._channels import with_channels
from jaxconv.viz._operands import Operands, Sized, read_operands
from jaxconv.viz._scatter import one_to_many, title
from jaxconv.viz._scene import Scene, stack
from jaxconv.viz._setting import Setting, read_setting
from jaxconv.viz._zero_insertion import as_conv

VIEWS = ("scatter", "zero_insertion", "both")


def conv_transpose(
    input: Sized,
    kernel: Sized,
    *,
    stride: IntLike = 1,
    padding: PaddingLike = 0,
    output_padding: IntLike = 0,
    output_size: IntLike | None = None,
    dilation: IntLike = 1,
    groups: int = 1,
    channels: tuple[int, int] | None = None,
    padding_mode: str = "zeros",
    view: str = "scatter",
) -> Scene:
    r"""A transposed convolution: one to many, or as a convolution of stride 1.

    .. math:: z[q] = \sum_{p, t \,:\, p s + t d - \mathit{lo} = q} w[t] \; x[p]

    The view "scatter" has a frame for each input, which adds the whole kernel, times
    itself, at its place; padding then cuts the edges off.  "zero_insertion" has a frame
    for each output of the equal convolution: s-1 zeros between the inputs, a border of
    d(k-1) - padding zeros, output_padding more at the end, and the flipped kernel.
    "both" has one below the other.

    Args:
      input: spatial size of the input, an int or a pair, or an array of numbers that
        are shown in the cells, without channels.
      kernel: likewise, both sizes or both arrays.  Two ints are one axis; an int beside
        a pair is for both axes.  Arrays of strings are letters; "scatter" writes their
        sums out.
      stride, padding, output_padding, output_size, dilation, padding_mode: as in
        `jaxconv.conv_transpose`.
      groups, channels: with channels, a pair (inputs, outputs), their diagram is drawn
        below.
      view: "scatter", "zero_insertion" or "both"; padding modes other than "zeros" have
        only "scatter".

    Returns:
      A `Scene`; its `save` writes a .gif, .svg, .html or .png.

    Raises:
      ValueError: as `jaxconv.conv_transpose`, and sizes that a picture has no room for.
      TypeError: arguments of the wrong kind.

    Example:
      >>> from jaxconv import viz
      >>> scene = viz.conv_transpose(3, 3, stride=2, padding=1, output_padding=1)
      >>> print(scene.frames[0].caption)
      input[0] times the kernel, 2 of 3 products kept

    Elsewhere: the animations of `conv_arithmetic` show zero insertion only, and have
    none with output_padding, dilation or groups.

    Source: Dumoulin and Visin, arXiv:1603.07285, Relationships 8 to 14.
    """
    can.choice("view", view, VIEWS)
    given = read_operands(input, kernel)
    setting = read_setting(
        True,
        given.size,
        given.kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        output_padding=output_padding,
        output_size=output_size,
    )
    scene = _view(setting, given, view)
    return with_channels(scene, channels, groups, given.kernel, transposed=True)


def _view(setting: Setting, given: Operands, view: str) -> Scene:
    if view == "scatter":
        return one_to_many(setting, given)
    if given.letters:
        rule = "adds numbers, and the operands are letters"
        can.fail("view", view, rule, 'Write view="scatter"')
    if setting.mode != "zeros":
        rule = "shows zeros around the input, and padding_mode is not zeros"
        can.fail("view", view, rule, 'Write view="scatter"')
    if view == "zero_insertion":
        return as_conv(setting, given)
    both = one_to_many(setting, given), as_conv(setting, given)
    return stack(*both, f"{title(setting)}, two ways", setting.summary)
