"""The axes of operands with channels last, as annotations.

Where `jaxtyping` has been imported, as in the tests that check annotations at run time,
a letter has the same size in all arguments and the result of a function.  ``gc`` and
``go`` are the channels of all groups, in and out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import jax

if TYPE_CHECKING or "jaxtyping" not in sys.modules:
    Input = Output = Kernel = jax.Array
else:
    from jaxtyping import Shaped

    Input = Shaped[jax.Array, "n *input gc"]
    Output = Shaped[jax.Array, "n *output go"]
    Kernel = Shaped[jax.Array, "*window c go"]
