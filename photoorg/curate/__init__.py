"""Putting a library in order: duplicates, events, people, scenes, anomalies and rules."""
