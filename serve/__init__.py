"""Ray Serve application over the photoorg library."""
