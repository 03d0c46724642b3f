"""Every convolution of a function, with its work and its receptive field."""

from jaxconv._summary._report import Layer, Summary, Totals
from jaxconv._summary._summarize import summarize

__all__ = ["Layer", "Summary", "Totals", "summarize"]
