"""Every convolution of a function, with its work and its receptive field."""

from jaxconv._inspect.summary.report import Layer, Summary, Totals
from jaxconv._inspect.summary.summarize import summarize

__all__ = ["Layer", "Summary", "Totals", "summarize"]
