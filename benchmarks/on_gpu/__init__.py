"""Sections of `python -m benchmarks.gpu`, one file each; every section is a generator of rows."""
