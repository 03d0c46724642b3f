"""The processor of this machine."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def processor() -> frozenset[str]:
    """The features of this machine's processor by Linux' names; empty elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    flags = (value for key, _, value in lines if key.strip() == "flags")
    return frozenset(next(flags, "").split())
