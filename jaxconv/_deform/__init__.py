"""Deformable convolution and its relatives: one sampler, and what is made of it.

_form.py    the primitive: weighted sums of an image's rows, in its three roles
_roles.py   how each role is computed
_frame.py   positions between pixels become rows and weights
_columns.py sampled columns times a kernel, at once or in chunks
_read.py    border: shapes and options of deformable convolution
conv.py  shard.py  transpose.py  aggregate.py  attention.py   the public functions
"""

from jaxconv._deform.aggregate import deform_aggregate as deform_aggregate
from jaxconv._deform.attention import (
    deform_attention_sample as deform_attention_sample,
)
from jaxconv._deform.conv import deform_conv as deform_conv
from jaxconv._deform.shard import deform_conv_shard as deform_conv_shard
from jaxconv._deform.transpose import deform_conv_transpose as deform_conv_transpose
