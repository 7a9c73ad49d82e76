"""HTTP: routers and their typed models."""
