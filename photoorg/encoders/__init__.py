"""Encoders: pixels or text in, unit-norm vectors of one EmbeddingSpace out."""
