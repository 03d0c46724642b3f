"""Deformable convolution and related operations, all built on one sampling primitive.

form.py       the primitive: weighted sums of an image's rows, in three roles
roles.py      how each role is computed
partition.py  what one device computes of a partitioned role
frame.py      converts positions between pixels to rows and interpolation weights
columns.py    sampled columns times a kernel, at once or in chunks
read.py       checks shapes and options of deformable convolution
conv.py  shard.py  transpose.py  aggregate.py  attention.py   the public functions
"""

from jaxconv._deform.aggregate import deform_aggregate as deform_aggregate
from jaxconv._deform.attention import (
    deform_attention_sample as deform_attention_sample,
)
from jaxconv._deform.conv import deform_conv as deform_conv
from jaxconv._deform.shard import deform_conv_shard as deform_conv_shard
from jaxconv._deform.transpose import deform_conv_transpose as deform_conv_transpose
