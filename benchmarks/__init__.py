"""Measurements of jaxconv against plain JAX and PyTorch: `python -m benchmarks.run`."""
