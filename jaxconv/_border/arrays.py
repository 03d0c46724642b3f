"""The arrays of public functions, as annotations.

The layout is an option and so is the batch axis, so no axis has a fixed place.  What an
annotation says holds in both layouts: how many axes there are at least (``_`` is one),
and which types of numbers there may be.

Where `jaxtyping` has been imported, as in the tests that check annotations at run time,
the annotations are its types.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

import jax
import numpy as np

if TYPE_CHECKING or "jaxtyping" not in sys.modules:
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Num
    from typing import Annotated as Shaped
else:
    from jaxtyping import Float, Int, Num, Shaped

Operand: TypeAlias = jax.Array | np.ndarray

# Channels and space, with a batch axis in front of them or without.
Image: TypeAlias = Num[Operand, "_ _ ..."]
# The channels of both sides, and the window.
Kernel: TypeAlias = Num[Operand, "_ _ _ ..."]
# One number for each channel of the result.
Bias: TypeAlias = Num[Operand, "_"]
# An image; it has a batch axis if the argument has one.
Result: TypeAlias = Num[jax.Array, "_ _ ..."]

# The matrix of a convolution: rows are elements of the result, columns of the image.
Matrix: TypeAlias = Num[jax.Array, "rows columns"]

# An image with one spatial axis; n is the batch axis, or no axis.
Signal: TypeAlias = Num[Operand, "*n _ _"]
Outputs: TypeAlias = Num[jax.Array, "*n _ _"]

# An image of bools or numbers, or its windows: each of them, and the elements in it.
Elements: TypeAlias = Shaped[Operand, "_ _ ..."]
Moved: TypeAlias = Shaped[jax.Array, "_ _ ..."]

# Floats at every position: an image to sample, offsets, masks or weights.
Field: TypeAlias = Float[Operand, "_ _ ..."]
Sampled: TypeAlias = Float[jax.Array, "_ _ ..."]
Count: TypeAlias = Int[jax.Array, ""]
