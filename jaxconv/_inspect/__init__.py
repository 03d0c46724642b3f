"""What a function's convolutions do: explain, tune, summarize, input_support."""
