"""Lowerings in the forms that GPUs and TPUs are quick at."""
