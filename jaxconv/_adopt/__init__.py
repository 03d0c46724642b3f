"""lax and existing models: reads and rewrites their convolutions."""
