"""Converts every accepted form of an argument into one canonical form.

Wrong arguments are refused here.  A message names the argument and its value, states
the rule, and says what to write instead.
"""

from jaxconv._border.arguments.arrays import a_kind as a_kind
from jaxconv._border.arguments.arrays import array as array
from jaxconv._border.arguments.arrays import as_dtype as as_dtype
from jaxconv._border.arguments.arrays import bias_shape as bias_shape
from jaxconv._border.arguments.arrays import not_an_array as not_an_array
from jaxconv._border.arguments.arrays import precision as precision
from jaxconv._border.arguments.arrays import result_dtype as result_dtype
from jaxconv._border.arguments.arrays import same_dtype as same_dtype
from jaxconv._border.arguments.forms import IntLike as IntLike
from jaxconv._border.arguments.forms import function as function
from jaxconv._border.arguments.forms import integer as integer
from jaxconv._border.arguments.forms import ints as ints
from jaxconv._border.arguments.forms import is_sequence as is_sequence
from jaxconv._border.arguments.forms import known as known
from jaxconv._border.arguments.forms import layout as layout
from jaxconv._border.arguments.forms import platform as platform
from jaxconv._border.arguments.forms import shape as shape
from jaxconv._border.arguments.forms import specs as specs
from jaxconv._border.arguments.padding import PADDING_MODES as PADDING_MODES
from jaxconv._border.arguments.padding import PaddingLike as PaddingLike
from jaxconv._border.arguments.padding import Pairs as Pairs
from jaxconv._border.arguments.padding import padding as padding
from jaxconv._border.arguments.padding import padding_fits_mode as padding_fits_mode
from jaxconv._border.arguments.shapes import groups_divide as groups_divide
from jaxconv._border.arguments.shapes import has_batch as has_batch
from jaxconv._border.arguments.shapes import kernel_fits as kernel_fits
from jaxconv._border.arguments.shapes import space_not_empty as space_not_empty
from jaxconv._border.arguments.shapes import spatial_rank as spatial_rank
from jaxconv._border.arguments.shapes import window_not_empty as window_not_empty
from jaxconv._core.errors import choice as choice
from jaxconv._core.errors import fail as fail
