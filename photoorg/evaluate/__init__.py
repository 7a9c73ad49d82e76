"""Evaluation: how good are the answers, in the field's standard measures."""
