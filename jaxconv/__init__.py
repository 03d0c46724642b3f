"""Convolutions for JAX: PyTorch's exact meaning, right gradients to every order.

A transposed convolution is the linear transpose of a convolution; everything here
follows from that.
"""

from importlib.metadata import version as _version

from jaxconv._accelerate import accelerate as accelerate
from jaxconv._arithmetic import Cost as Cost
from jaxconv._arithmetic import ReceptiveField as ReceptiveField
from jaxconv._arithmetic import conv_output_size as conv_output_size
from jaxconv._arithmetic import conv_transpose_output_size as conv_transpose_output_size
from jaxconv._arithmetic import cost as cost
from jaxconv._arithmetic import receptive_field as receptive_field
from jaxconv._conv import conv as conv
from jaxconv._deform import deform_aggregate as deform_aggregate
from jaxconv._deform import deform_attention_sample as deform_attention_sample
from jaxconv._deform import deform_conv as deform_conv
from jaxconv._deform import deform_conv_shard as deform_conv_shard
from jaxconv._deform import deform_conv_transpose as deform_conv_transpose
from jaxconv._explain import explain as explain
from jaxconv._halo import Halo as Halo
from jaxconv._halo import exchange_halo as exchange_halo
from jaxconv._halo import halo as halo
from jaxconv._lax import conv_general_dilated as conv_general_dilated
from jaxconv._matrix import conv_matrix as conv_matrix
from jaxconv._patches import fold as fold
from jaxconv._patches import unfold as unfold
from jaxconv._plan import lowerings as lowerings
from jaxconv._summary import Summary as Summary
from jaxconv._summary import summarize as summarize
from jaxconv._support import input_support as input_support
from jaxconv._transpose import conv_transpose as conv_transpose
from jaxconv._tune import Tuning as Tuning
from jaxconv._tune import tune as tune
from jaxconv._variants import depthwise_conv as depthwise_conv
from jaxconv._variants import pointwise_conv as pointwise_conv
from jaxconv._variants import separable_conv as separable_conv

__version__ = _version("jaxconv")
