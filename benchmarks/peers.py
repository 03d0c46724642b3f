"""The same cell in jaxconv, in plain JAX and in PyTorch, ready to be called."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.workloads import Workload

PEERS = ("jaxconv", "lax", "torch")


class Ready(NamedTuple):
    """One cell of one peer: ``call`` runs it once and waits for the result."""

    call: Callable[[], Any]
    lower_s: float | None
    compile_s: float | None
    temp_bytes: int | None
    lowering: str | None


def build(peer: str, workload: Workload, role: str) -> Ready:
    if peer == "torch":
        return _build_torch(workload, role)
    return _build_jax(_jaxconv if peer == "jaxconv" else _lax, workload, role)


def to_numpy(value: Any) -> np.ndarray:
    """Either library's array in float64."""
    if hasattr(value, "detach"):
        return value.detach().double().numpy()
    return np.asarray(value).astype(np.float64)


# JAX ----------------------------------------------------------------------------------


def _jaxconv(workload: Workload) -> Callable[[Any, Any], Any]:
    import jaxconv

    arguments: dict[str, Any] = {
        "stride": workload.stride,
        "padding": workload.padding,
        "dilation": workload.dilation,
        "groups": workload.groups,
        "layout": workload.layout,
        "padding_mode": workload.padding_mode,
    }
    if workload.transposed:
        arguments["output_padding"] = workload.output_padding
    function = jaxconv.conv_transpose if workload.transposed else jaxconv.conv
    return lambda x, w: function(x, w, **arguments)


def _lax(workload: Workload) -> Callable[[Any, Any], Any]:
    """As users write it, gradients left to JAX."""
    import jax
    import jax.numpy as jnp

    letters = "DHW"[-len(workload.space) :]
    numbers = (f"NC{letters}", f"OI{letters}", f"NC{letters}")
    around: list[tuple[int, int]] = [(0, 0), (0, 0), *workload.padding]
    if workload.layout == "channels_last":
        kernel = f"OI{letters}" if workload.transposed else f"{letters}IO"
        numbers = (f"N{letters}C", kernel, f"N{letters}C")
        around = [(0, 0), *workload.padding, (0, 0)]
    periodic = workload.padding_mode == "circular"

    def conv(x: Any, w: Any) -> Any:
        if periodic:
            x = jnp.pad(x, around, mode="wrap")
        return jax.lax.conv_general_dilated(
            x,
            w,
            workload.stride,
            [(0, 0)] * len(letters) if periodic else workload.padding,
            rhs_dilation=workload.dilation,
            dimension_numbers=numbers,
            feature_group_count=workload.groups,
        )

    def conv_transpose(x: Any, w: Any) -> Any:
        if workload.layout == "channels_last":
            w = jnp.moveaxis(w, (-1, -2), (0, 1))
        return jax.lax.conv_general_dilated(
            x,
            _turned(w, workload.groups),
            (1,) * len(letters),
            _turned_padding(workload),
            lhs_dilation=workload.stride,
            rhs_dilation=workload.dilation,
            dimension_numbers=numbers,
            feature_group_count=workload.groups,
        )

    return conv_transpose if workload.transposed else conv


def _turned(w: Any, groups: int) -> Any:
    """(in, out/groups, *window) to (out, in/groups, *window), every axis reversed."""
    import jax.numpy as jnp

    rows, columns, *window = w.shape
    w = jnp.flip(w, range(2, w.ndim)).reshape(groups, rows // groups, columns, *window)
    return w.swapaxes(1, 2).reshape(groups * columns, rows // groups, *window)


def _turned_padding(workload: Workload) -> list[tuple[int, int]]:
    return [
        (d * (k - 1) - lo, d * (k - 1) - hi + op)
        for k, d, (lo, hi), op in zip(
            workload.kernel,
            workload.dilation,
            workload.padding,
            workload.output_padding,
            strict=True,
        )
    ]


def jax_cell(
    operation: Callable[[Any, Any], Any], workload: Workload, role: str
) -> Callable[[Any, Any, Any], Any]:
    """The function of x, w and the cotangent y that one role measures."""
    import jax

    def forward(x: Any, w: Any) -> Any:
        if workload.context == "vmap":
            return jax.vmap(operation)(x, w)
        if workload.context == "scan":
            return jax.lax.scan(lambda _, v: (None, operation(v, w)), None, x)[1]
        return operation(x, w)

    if role == "forward":
        return lambda x, w, y: forward(x, w)
    if role == "input":
        return lambda x, w, y: jax.vjp(lambda x: forward(x, w), x)[1](y)[0]
    return lambda x, w, y: jax.vjp(lambda w: forward(x, w), w)[1](y)[0]


def jaxconv_cell(workload: Workload, role: str) -> Callable[[Any, Any, Any], Any]:
    return jax_cell(_jaxconv(workload), workload, role)


def lax_cell(workload: Workload, role: str) -> Callable[[Any, Any, Any], Any]:
    return jax_cell(_lax(workload), workload, role)


def _build_jax(
    operation: Callable[[Workload], Callable[[Any, Any], Any]],
    workload: Workload,
    role: str,
) -> Ready:
    import jax
    import jax.numpy as jnp

    wide = workload.dtype == "float64"
    with jax.enable_x64(True) if wide else contextlib.nullcontext():
        arrays = {
            letter: jnp.asarray(value, workload.dtype)
            for letter, value in workload.arrays().items()
        }
        started = time.perf_counter()
        lowered = jax.jit(jax_cell(operation(workload), workload, role)).lower(**arrays)
        lower_s = time.perf_counter() - started
        compiled = lowered.compile()
        compile_s = time.perf_counter() - started - lower_s
    memory = compiled.memory_analysis()
    return Ready(
        lambda: jax.block_until_ready(compiled(**arrays)),
        lower_s,
        compile_s,
        None if memory is None else memory.temp_size_in_bytes,
        _lowering(compiled.as_text()),
    )


def _lowering(hlo: str | None) -> str | None:
    """Which lowering ran, from the scope names that the library leaves in the HLO."""
    scopes = re.findall(r"jaxconv\.((?:output|input|kernel)\.\w+)", hlo or "")
    return ", ".join(sorted(set(scopes))) or None


# PyTorch ------------------------------------------------------------------------------


def torch_operation(workload: Workload) -> Callable[[Any, Any], Any]:
    import torch.nn.functional as F

    ndim = len(workload.space)
    low = tuple(lo for lo, _ in workload.padding)
    even = all(lo == hi for lo, hi in workload.padding)
    shared = {
        "stride": workload.stride,
        "padding": low if even else 0,
        "dilation": workload.dilation,
        "groups": workload.groups,
    }
    if workload.transposed:
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[
            ndim - 1
        ]
        if not even:
            raise ValueError("F.conv_transpose pads both ends alike")
        op = workload.output_padding
        return lambda x, w: function(x, w, output_padding=op, **shared)
    function = (F.conv1d, F.conv2d, F.conv3d)[ndim - 1]
    # F.pad takes the last axis first; F.conv pads both ends alike.
    widths = [p for pair in reversed(workload.padding) for p in pair]
    if workload.padding_mode == "circular":
        shared["padding"] = 0
        return lambda x, w: function(F.pad(x, widths, mode="circular"), w, **shared)
    if even:
        return lambda x, w: function(x, w, **shared)
    return lambda x, w: function(F.pad(x, widths), w, **shared)


def _channels_last(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """On arrays with the channels last: views of them, in PyTorch's order of axes."""

    def run(x: Any, w: Any) -> Any:
        x, w = x.movedim(-1, 1), w.movedim((-1, -2), (0, 1))
        return operation(x, w).movedim(1, -1)

    return run


def _build_torch(workload: Workload, role: str) -> Ready:
    import torch

    operation = torch_operation(workload)
    if workload.layout == "channels_last":
        operation = _channels_last(operation)
    x, w, y = (
        torch.from_numpy(value).to(getattr(torch, workload.dtype))
        for value in workload.arrays().values()
    )

    def forward() -> Any:
        if workload.context == "vmap":
            return torch.vmap(operation)(x, w)
        if workload.context == "scan":
            return torch.stack([operation(v, w) for v in x])
        return operation(x, w)

    def run_forward() -> Any:
        with torch.no_grad():
            return forward()

    if role == "forward":
        return Ready(run_forward, None, None, None, None)
    wanted = (x if role == "input" else w).requires_grad_()
    result = forward()

    def backward() -> Any:
        return torch.autograd.grad(result, wanted, y, retain_graph=True)[0]

    return Ready(backward, None, None, None, None)


# Memory -------------------------------------------------------------------------------


def forget_peak() -> None:
    """Starts a new peak of resident memory, where the system (Linux) can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> int | None:
    """This process's memory in bytes: VmRSS now, VmHWM at its peak."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else None
