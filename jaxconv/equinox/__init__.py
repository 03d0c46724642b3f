"""Layers for Equinox with PyTorch's meaning: ``import jaxconv.equinox``.

Each layer calls a function of `jaxconv`, whose documentation has the formula and the
arguments.  Layers take one image or a batch.  Weights are initialised as in PyTorch.
"""

from jaxconv.equinox._layers import Conv as Conv
from jaxconv.equinox._layers import ConvTranspose as ConvTranspose
from jaxconv.equinox._layers import DeformConv as DeformConv
from jaxconv.equinox._layers import from_torch as from_torch
