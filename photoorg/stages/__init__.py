"""Ingest stages: plain callables from Arrow table to Arrow table that know nothing of Ray.

A stage adds columns and drops the ones it consumed. A row that cannot be used carries a non-null
`reject` struct and passes every later stage untouched; an optional stage that fails on a row
appends to its `failures` and leaves the rest of the photo whole.
"""
