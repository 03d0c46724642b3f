"""Lowerings that pay on a CPU."""
