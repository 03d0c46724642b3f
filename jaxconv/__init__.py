"""Convolutions for JAX: PyTorch's exact meaning, right gradients to every order.

A transposed convolution is the linear transpose of a convolution; everything here
follows from that.
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING

from jaxconv._adopt.accelerate import accelerate as accelerate
from jaxconv._adopt.lax import conv_general_dilated as conv_general_dilated
from jaxconv._adopt.remat import convolutions_saveable as convolutions_saveable
from jaxconv._adopt.to_lax import to_lax as to_lax
from jaxconv._border.hints import absent as _absent
from jaxconv._deform import deform_aggregate as deform_aggregate
from jaxconv._deform import deform_attention_sample as deform_attention_sample
from jaxconv._deform import deform_conv as deform_conv
from jaxconv._deform import deform_conv_shard as deform_conv_shard
from jaxconv._deform import deform_conv_transpose as deform_conv_transpose
from jaxconv._inspect.explain import explain as explain
from jaxconv._inspect.summary import Summary as Summary
from jaxconv._inspect.summary import summarize as summarize
from jaxconv._inspect.support.support import input_support as input_support
from jaxconv._inspect.tune import Tuning as Tuning
from jaxconv._inspect.tune import tune as tune
from jaxconv._ops.arithmetic import Cost as Cost
from jaxconv._ops.arithmetic import ReceptiveField as ReceptiveField
from jaxconv._ops.arithmetic import conv_output_size as conv_output_size
from jaxconv._ops.arithmetic import (
    conv_transpose_output_size as conv_transpose_output_size,
)
from jaxconv._ops.arithmetic import cost as cost
from jaxconv._ops.arithmetic import receptive_field as receptive_field
from jaxconv._ops.conv import conv as conv
from jaxconv._ops.halo import Halo as Halo
from jaxconv._ops.halo import exchange_halo as exchange_halo
from jaxconv._ops.halo import halo as halo
from jaxconv._ops.matrix import conv_matrix as conv_matrix
from jaxconv._ops.patches import fold as fold
from jaxconv._ops.patches import unfold as unfold
from jaxconv._ops.stream import Stream as Stream
from jaxconv._ops.stream import stream as stream
from jaxconv._ops.stream import stream_sizes as stream_sizes
from jaxconv._ops.stream_sizes import StreamSizes as StreamSizes
from jaxconv._ops.transpose import conv_transpose as conv_transpose
from jaxconv._ops.variants import depthwise_conv as depthwise_conv
from jaxconv._ops.variants import pointwise_conv as pointwise_conv
from jaxconv._ops.variants import separable_conv as separable_conv
from jaxconv._plan.emit import register as _register
from jaxconv._plan.names import lowerings as lowerings
from jaxconv._plan.onednn import onednn as onednn

if not _TYPE_CHECKING:  # there an unknown name is an error already

    def __getattr__(name: str) -> object:
        raise _absent(name, tuple(globals()))


__version__ = _version("jaxconv")
_register()
