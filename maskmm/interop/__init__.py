"""Weights and files of other programs, to and from our own folders."""

from maskmm.interop.importing import from_transformers

__all__ = ["from_transformers"]
