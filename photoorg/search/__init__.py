"""Search: one query in, ranked and explained hits out."""
