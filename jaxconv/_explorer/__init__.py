"""The explorer: one page about convolution arithmetic, and a server for it."""
