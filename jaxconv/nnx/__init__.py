"""Layers for Flax NNX with PyTorch's meaning: ``import jaxconv.nnx``.

Each is a few lines over a function of `jaxconv`, which has the formulas and says what
the arguments mean.  Weights start as PyTorch's do.
"""

from jaxconv.nnx._layers import Conv as Conv
from jaxconv.nnx._layers import ConvTranspose as ConvTranspose
from jaxconv.nnx._layers import DeformConv as DeformConv
from jaxconv.nnx._layers import from_torch as from_torch
