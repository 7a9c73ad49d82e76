"""Organising a library: duplicates found, judged, grouped, and one of each kept."""
