"""Organising a library: people, scenes, and what else groups photos."""
