"""Code that the layers for Flax and Equinox share; it imports neither library."""
