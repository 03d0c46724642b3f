"""Which inputs a result can depend on."""
