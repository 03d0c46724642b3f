"""PyTorch as a second reference, where it is installed and has the same call."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from fuzz.calls import Call
from fuzz.reference import conv_window, paddings, per_axis
from fuzz.transforms import Pair

INSTALLED = importlib.util.find_spec("torch") is not None
MODES = {"reflect": "reflect", "replicate": "replicate", "circular": "circular"}


def compare(call: Call, pair: Pair) -> bool:
    """Holds the reference's value against PyTorch's; False if there is none."""
    known = call.function in ("conv", "conv_transpose")
    if not (INSTALLED and known and not call.steps and not call.last):
        return False
    if call.dtype not in ("float32", "float64") or any(0 in s for s in call.shapes):
        return False
    if "preferred_element_type" in call.options or len(call.shapes[1]) > 5:
        return False
    args = [v.astype(np.float64) for v in pair.args]
    made = (_conv if call.function == "conv" else _transposed)(call, args)
    if made is None:
        return False
    np.testing.assert_allclose(made, pair.reference(*args)[0], rtol=0, atol=1e-10)
    return True


def _common(call: Call, ndim: int) -> dict[str, Any]:
    options = call.options
    return {
        "stride": per_axis(options.get("stride", 1), ndim),
        "dilation": per_axis(options.get("dilation", 1), ndim),
        "groups": options.get("groups", 1),
    }


def _conv(call: Call, args: list[np.ndarray]) -> np.ndarray | None:
    import torch
    from torch.nn import functional as F

    x, *rest = map(torch.from_numpy, args)
    ndim = rest[0].ndim - 2
    batched = x.ndim == ndim + 2
    x = x if batched else x[None]
    window = conv_window(tuple(x.shape[2:]), tuple(rest[0].shape[2:]), call.options)
    pads = paddings(
        call.options.get("padding", 0),
        window.input,
        window.kernel,
        window.stride,
        window.dilation,
    )
    mode = MODES.get(call.options.get("padding_mode", "zeros"), "constant")
    around = [p for pair in reversed(pads) for p in pair]
    x = F.pad(x, around, mode=mode)
    y = getattr(F, f"conv{ndim}d")(x, *rest, **_common(call, ndim)).numpy()
    return y if batched else y[0]


def _transposed(call: Call, args: list[np.ndarray]) -> np.ndarray | None:
    import torch
    from torch.nn import functional as F

    options = call.options
    odd = options.get("padding_mode", "zeros") != "zeros" or "output_size" in options
    padding = options.get("padding", 0)
    entries = padding if isinstance(padding, tuple | list) else (padding,)
    if odd or any(isinstance(p, str | tuple | list) for p in entries):
        return None
    ndim = args[1].ndim - 2
    more = {
        "padding": per_axis(padding, ndim),
        "output_padding": per_axis(options.get("output_padding", 0), ndim),
    }
    tensors = map(torch.from_numpy, args)
    fn = getattr(F, f"conv_transpose{ndim}d")
    return fn(*tensors, **_common(call, ndim), **more).numpy()
