"""Lowerings written to be read, never planned."""
