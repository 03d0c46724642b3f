"""Error messages for what users of other libraries write.

Nothing here runs before a call has failed.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar

from jaxconv._core.errors import fail, shown

P = ParamSpec("P")
R = TypeVar("R")

# Keywords of lax, Flax, Keras, Haiku, Equinox, PyTorch and ONNX, and their name here.
RENAMED = {
    "strides": "stride",
    "window_strides": "stride",
    "pad": "padding",
    "pads": "padding",
    "kernel_dilation": "dilation",
    "rhs_dilation": "dilation",
    "dilation_rate": "dilation",
    "dilations": "dilation",
    "feature_group_count": "groups",
    "group": "groups",
    "data_format": "layout",
    "dimension_numbers": "layout",
    "output_shape": "output_size",
    "input": "x",
    "inputs": "x",
    "lhs": "x",
    "image": "x",
    "weight": "kernel",
    "weights": "kernel",
    "filters": "kernel",
    "filter": "kernel",
    "rhs": "kernel",
    "w": "kernel",
    "b": "bias",
    "offsets": "offset",
    "kernel_shape": "kernel_size",
    "mode": "padding_mode",
}
# Keywords that have no counterpart: the rule, and what to write.
WITHOUT = {
    "lhs_dilation": (
        "puts zeros between the inputs, which is a transposed convolution",
        "Write conv_transpose(..., stride=...), or conv_general_dilated",
    ),
    "input_dilation": (
        "puts zeros between the inputs, which is a transposed convolution",
        "Write conv_transpose(..., stride=...), or conv_general_dilated",
    ),
    "transpose_kernel": (
        "is not needed: conv_transpose takes the same kernel as the convolution",
        "Leave it out",
    ),
    "batch_group_count": ("exists in lax only", "Use conv_general_dilated"),
    "use_bias": ("is not needed: a bias is an array or None", "Write bias=None"),
    "kernel_size": ("follows from the kernel's shape", "Leave it out"),
    "features": ("follows from the kernel's shape", "Leave it out"),
    "in_channels": ("follows from the kernel's shape", "Leave it out"),
    "out_channels": ("follows from the kernel's shape", "Leave it out"),
}
# Options in the positional order of PyTorch's and torchvision's functions.
BY_PLACE = {
    "conv": ("stride", "padding", "dilation", "groups"),
    "conv_transpose": ("stride", "padding", "output_padding", "groups", "dilation"),
    "deform_conv": ("stride", "padding", "dilation", "mask"),
}
PADDING = {
    "circular": 'Write padding_mode="circular", and padding="same" or a number',
    "wrap": 'Write padding_mode="circular", and padding="same" or a number',
    "reflect": 'Write padding_mode="reflect", and padding="same" or a number',
    "symmetric": "Fill x with jax.numpy.pad before, and write padding=0",
    "replicate": 'Write padding_mode="replicate", and padding="same" or a number',
    "edge": 'Write padding_mode="replicate", and padding="same" or a number',
    "zeros": "Write a number, or a (low, high) pair for every axis",
    "constant": "Write a number, or a (low, high) pair for every axis",
    "causal": 'Write "causal"',
    "full": "Write padding = dilation * (kernel - 1) as a number",
    "same_lower": 'Write "SAME_LOWER"',
    "same_upper": 'Write "SAME"',
    "valid": 'Write "valid"',
    "same": 'Write "same", or "SAME" for ceil(input/stride) outputs',
}


def padding_word(word: str) -> None:
    """Refuses another library's padding word, and says what to write."""
    remedy = PADDING.get(word.lower())
    if remedy is not None:
        fail("padding", word, "is a word of other libraries", remedy)


def exchanged(error: ValueError) -> ValueError:
    """The error of a call that would fit with image and kernel exchanged."""
    question = "Or are x and kernel exchanged? The image comes first"
    return ValueError(f"{error} {question}.")


# Keyword and positional arguments -----------------------------------------------------


def explained(fn: Callable[P, R]) -> Callable[P, R]:
    """Wraps a function so that errors explain unknown keywords and extra arguments."""

    @functools.wraps(fn)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return fn(*args, **kwargs)
        except TypeError as error:
            trace = error.__traceback__
            if trace is not None and trace.tb_next is None:  # fn was never entered
                _explain(fn, args, kwargs)
            raise

    return call


def _explain(fn: Callable[..., Any], args: Sequence[Any], options: Any) -> None:
    parameters = inspect.signature(fn).parameters.values()
    by_place = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name, value in options.items():
        if name not in (*by_place, *by_name):
            _keyword(fn.__name__, name, value, [*by_place, *by_name])
    if len(args) > len(by_place):
        _places(fn.__name__, args, by_place, by_name)


def _keyword(fn: str, name: str, value: Any, known: list[str]) -> NoReturn:
    renamed = RENAMED.get(name)
    if renamed in known:
        written = _layout(value) if renamed == "layout" else shown(value)
        if hasattr(value, "shape"):
            written = name
        rule = f"is called {renamed} in {fn}"
        fail(name, value, rule, f"Write {renamed}={written}", TypeError)
    if name in WITHOUT:
        rule, remedy = WITHOUT[name]
        fail(name, value, rule, remedy, TypeError)
    close = difflib.get_close_matches(name, known, 1, 0.8)
    remedy = f"Write {close[0]}=" if close else f"It takes {', '.join(known)}"
    fail(name, value, f"is no argument of {fn}", remedy, TypeError)


def _layout(value: Any) -> str:
    """The layout of a data format such as "NHWC"."""
    word = value[0] if isinstance(value, tuple | list) and value else value
    word = word.lower() if isinstance(word, str) else ""
    if word in ("channels_last", "nwc", "nhwc", "ndhwc") or word.endswith("c"):
        return '"channels_last"'
    return '"channels_first"'


def _places(
    fn: str, args: Sequence[Any], by_place: list[str], by_name: list[str]
) -> NoReturn:
    """Refuses positional options, and writes them as keywords in PyTorch's order."""
    taken = len(by_place)
    if by_place[-1] == "bias" and isinstance(args[taken - 1], int | str | tuple | list):
        taken -= 1  # no bias was given
    order = BY_PLACE.get(fn, tuple(by_name))
    pairs = zip(order, args[taken:], strict=False)
    named = [f"{n}={n if hasattr(v, 'shape') else shown(v)}" for n, v in pairs]
    call = ", ".join([*by_place[:taken], *named])
    raise TypeError(
        f"{fn} takes {len(by_place)} positional arguments and the others by name, but "
        f"{len(args)} are positional. Write {fn}({call})."
    )


# Names --------------------------------------------------------------------------------

# Beginnings of names, in lower case without underscores; the longest match counts.
_RANK = "one function for any number of spatial axes: the kernel's rank says how many"
NAMES = {
    "convtranspose": ("conv_transpose", _RANK),
    "transposedconv": ("conv_transpose", _RANK),
    "transposeconv": ("conv_transpose", _RANK),
    "convolutiontranspose": ("conv_transpose", _RANK),
    "deconv": ("conv_transpose", _RANK),
    "conv": ("conv", _RANK),
    "correlate": ("conv", _RANK),
    "groupedconv": ("conv", "groups= is an argument of it"),
    "dilatedconv": ("conv", "dilation= is an argument of it"),
    "causalconv": ("conv", 'padding="causal" is an argument of it'),
    "depthwise": ("depthwise_conv", _RANK),
    "pointwise": ("pointwise_conv", _RANK),
    "separable": ("separable_conv", _RANK),
    "deformconvtranspose": ("deform_conv_transpose", _RANK),
    "deform": ("deform_conv", _RANK),
    "dcnv3": ("deform_aggregate", "with softmax=True"),
    "dcnv4": ("deform_aggregate", "of two to three axes"),
    "dcn": ("deform_conv", _RANK),
    "msdeform": ("deform_attention_sample", "the sampling inside of it"),
    "im2col": ("unfold", "the same"),
    "col2im": ("fold", "the same"),
    "unfold": ("unfold", "a function"),
    "fold": ("fold", "a function"),
    "extractpatches": ("unfold", "the same"),
    "toeplitz": ("conv_matrix", "the same"),
    "summary": ("summarize", "a function"),
}


MODULES = ("equinox", "nnx", "viz")


def absent(name: str, public: Sequence[str]) -> AttributeError:
    """The error for a name that the package does not have; it suggests a name."""
    plain = name.lower().replace("_", "")
    if plain.startswith("conv") and plain.endswith("transpose"):
        plain = "convtranspose"  # Conv2DTranspose
    starts = [start for start in NAMES if plain.startswith(start)]
    text = f"module 'jaxconv' has no attribute {name!r}."
    if name.startswith("_"):
        return AttributeError(text)
    if name in MODULES:
        return AttributeError(f"{text} Write import jaxconv.{name} before.")
    if starts:
        meant, why = NAMES[max(starts, key=len)]
        return AttributeError(f"{text} Write jaxconv.{meant}: {why}.")
    offered = [word for word in public if not word.startswith("_")]
    close = difflib.get_close_matches(name, offered, 1, 0.8)
    return AttributeError(f"{text} Write jaxconv.{close[0]}." if close else text)
