"""Lowerings written for teaching, which the plan never chooses."""
