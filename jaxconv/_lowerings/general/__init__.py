"""Lowerings that any platform can run."""
