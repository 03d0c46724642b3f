"""Layers for Equinox with PyTorch's meaning: ``import jaxconv.equinox``.

Each is a few lines over a function of `jaxconv`, which has the formulas and says what
the arguments mean.  They take one image or a batch.  Weights start as PyTorch's do.
"""

from jaxconv.equinox._layers import Conv as Conv
from jaxconv.equinox._layers import ConvTranspose as ConvTranspose
from jaxconv.equinox._layers import DeformConv as DeformConv
from jaxconv.equinox._layers import from_torch as from_torch
