"""Pictures of convolutions, computed from their geometry.

Scenes are plain data.  They are drawn as SVG or HTML by themselves, and as GIF or PNG
with `pip install 'jaxconv[viz]'`.
"""

from jaxconv.viz._channels import channels as channels
from jaxconv.viz._conv import conv as conv
from jaxconv.viz._deform import deform as deform
from jaxconv.viz._dilation import dilations as dilations
from jaxconv.viz._frames import Frame as Frame
from jaxconv.viz._matrix import matrix as matrix
from jaxconv.viz._overlap import overlap as overlap
from jaxconv.viz._receptive import receptive as receptive
from jaxconv.viz._scene import Scene as Scene
from jaxconv.viz._transpose import conv_transpose as conv_transpose
