"""Layers for Flax NNX with PyTorch's meaning: ``import jaxconv.nnx``.

Each layer calls a function of `jaxconv`, whose documentation has the formula and the
arguments.  Weights are initialised as in PyTorch.
"""

from jaxconv.nnx._layers import Conv as Conv
from jaxconv.nnx._layers import ConvTranspose as ConvTranspose
from jaxconv.nnx._layers import DeformConv as DeformConv
from jaxconv.nnx._layers import from_torch as from_torch
