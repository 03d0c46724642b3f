"""All that can be drawn and checked, by name."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fuzz.calls import Call as Call
from fuzz.check import check as check
from fuzz.deform_calls import DeformCall as DeformCall
from fuzz.deform_calls import deform_calls
from fuzz.lax_calls import Accelerated as Accelerated
from fuzz.lax_calls import LaxCall as LaxCall
from fuzz.lax_calls import accelerated, lax_calls
from fuzz.strategies import calls

ENGINES = {
    "numpy": ("numpy",),
    "xla": ("xla",),
    "eager": ("eager",),
    "mixed": ("numpy",) * 40 + ("xla",) * 2 + ("eager",),
}
SUBJECTS: dict[str, Any] = {
    "conv": calls,
    "lax": lax_calls,
    "accelerate": accelerated,
    "deform": deform_calls,
}
SHARES = ("conv",) * 8 + ("lax",) * 3 + ("accelerate", "deform")


def drawn(subject: str = "all", engine: str = "mixed") -> st.SearchStrategy[Any]:
    if subject != "all":
        return SUBJECTS[subject](ENGINES[engine])
    several = {name: make(ENGINES[engine]) for name, make in SUBJECTS.items()}
    return st.sampled_from(SHARES).flatmap(lambda name: several[name])
