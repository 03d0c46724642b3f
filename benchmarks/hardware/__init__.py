"""What XLA makes of the benchmarks for GPUs and TPUs, there or not."""
