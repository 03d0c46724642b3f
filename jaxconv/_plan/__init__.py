"""Which lowering computes a case, where and why."""
