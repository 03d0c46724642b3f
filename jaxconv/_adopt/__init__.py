"""lax and existing models: reads and rewrites their convolutions, and back to lax."""
