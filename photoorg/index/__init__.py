"""FAISS indices: training, sharding, re-scoring, the live delta, and planning."""
