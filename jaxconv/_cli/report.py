"""What was measured as text and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxconv
from jaxconv._cli.claim import SENTENCE, Claim
from jaxconv._cli.comparison import Row
from jaxconv._cli.images import Photo
from jaxconv._plan import probe

HEADER = (
    f"{'geometry':<9} {'function':<14} {'implementation':<15}"
    f" {'difference':>10} {'allowed':>8} {'compile':>9} {'run':>10}"
)


@dataclass(frozen=True)
class Result:
    """Everything that one check found."""

    photo: Photo
    geometries: dict[str, str]  # by name, in words
    rows: tuple[Row, ...]
    claim: Claim

    @property
    def ok(self) -> bool:
        return self.claim.holds and not any(row.bad for row in self.rows)


def versions() -> dict[str, str]:
    return {
        "jaxconv": jaxconv.__version__,
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def device() -> dict[str, str]:
    first = jax.devices()[0]
    return {"platform": first.platform, "kind": first.device_kind}


def machine() -> str:
    """Versions and device in one line."""
    found = versions()
    named = " ".join(dict.fromkeys(device().values()))
    if named == "cpu":
        named = f"{_processor()}, {os.cpu_count()} cores"
    words = f"jaxconv {found['jaxconv']}, jax {found['jax']}, Python {found['python']}"
    return f"{words}; {named}"


def _processor() -> str:
    """The processor's name as Linux has it; elsewhere its kind."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.splitlines())
    names = (value.strip() for key, _, value in lines if key.strip() == "model name")
    return next(names, platform.machine())


def opening(photo: Photo) -> list[str]:
    """What runs where, on which picture."""
    named = ", ".join(f"{name} {number}" for name, number in versions().items())
    rows, columns = photo.pixels.shape[1:]
    return [
        f"{named}; {' '.join(dict.fromkeys(device().values()))}",
        f"Photo: {photo.source}, {columns}x{rows} pixels, reduced for the table.",
        "Largest difference to a float64 sum in NumPy; all in float32, times in ms.",
    ]


def row_line(row: Row) -> str:
    """Difference and times, or why there are none."""
    start = f"{row.geometry:<9} {row.function:<14} {row.implementation:<15}"
    if row.difference is None or row.compile_ms is None or row.run_ms is None:
        return f"{start} {row.status}: {row.reason}"
    numbers = f" {row.difference:>10.1e} {row.tolerance:>8.0e}"
    times = f" {row.compile_ms:>9.0f} {row.run_ms:>10.3f}"
    return start + numbers + times + ("" if row.status == "agrees" else "  WRONG")


def refused_line(rows: Sequence[Row]) -> str:
    """The implementations that are not for this geometry; --json has the reasons."""
    names = [f"{row.function} {row.implementation}" for row in rows if row.reason]
    return f"{rows[0].geometry:<9} refused (see --json): {', '.join(names) or 'none'}"


def summary(rows: Sequence[Row]) -> str:
    """How many rows there are of each kind."""
    counts = {"agrees": 0, "refused": 0, "wrong": 0, "failed": 0}
    for row in rows:
        counts[row.status] += 1
    words = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{len(rows)} rows: {words.replace('agrees', 'agree with the reference')}."


def claim_summary(claim: Claim, photo: Photo) -> list[str]:
    """The claim and how far it holds, in two lines."""
    worst = max(found.difference for found in claim.differences)
    holds = "" if claim.holds else "  WRONG"
    return [
        f"{SENTENCE}: <conv(x), y> = {claim.left:.5f}, <x, conv_transpose(y)> = "
        f"{claim.right:.5f}.",
        f"x is {photo.source}, y random; {len(claim.differences)} ways to compute it "
        f"differ by at most {worst:.0e}.{holds}",
    ]


def claim_lines(claim: Claim) -> list[str]:
    lines = [
        f"{SENTENCE}.",
        f"Measured on {claim.geometry}, y random:",
        f"  <conv(x), y>           = {claim.left:.6f}",
        f"  <x, conv_transpose(y)> = {claim.right:.6f}",
        f"  {'largest difference of':<54} {'difference':>10} {'allowed':>8}",
    ]
    for found in claim.differences:
        mark = "" if found.holds else "  WRONG"
        numbers = f"{found.difference:>10.1e} {found.tolerance:>8.0e}{mark}"
        lines.append(f"  {found.between:<54} {numbers}")
    lines.append(
        "It is not the inverse: conv_transpose(conv(x)) has the shape of x, but differs"
        f" from it by up to {claim.undone:.2f}."
    )
    return lines


def onednn(failed: str | None) -> str:
    """Whether oneDNN works on this machine, or why not."""
    outcome = "right" if failed is None else failed
    return f"oneDNN's convolutions, tried in a child process against NumPy: {outcome}"


def document(result: Result, onednn: probe.Found | None = None) -> str:
    """One JSON document; what is not a finite number becomes null."""
    claim = {
        "sentence": SENTENCE,
        **asdict(result.claim),
        "holds": result.claim.holds,
    }
    content = {
        "ok": result.ok,
        "versions": versions(),
        "device": device(),
        "image": {
            "source": result.photo.source,
            "size": list(result.photo.pixels.shape),
        },
        "geometries": result.geometries,
        "rows": [asdict(row) for row in result.rows],
        "claim": claim,
        "onednn": onednn and onednn._asdict(),
    }
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
