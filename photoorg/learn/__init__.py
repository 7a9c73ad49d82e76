"""Learning from a library's own photos."""
