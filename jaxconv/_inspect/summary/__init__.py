"""Every convolution of a function, with its work and its receptive field."""

from jaxconv._inspect.summary.contents import Layer, Totals
from jaxconv._inspect.summary.report import Summary
from jaxconv._inspect.summary.summarize import summarize

__all__ = ["Layer", "Summary", "Totals", "summarize"]
