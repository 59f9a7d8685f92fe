"""Weights and files of other programs, to and from our own folders."""

from maskmm.interop.importing import from_beats, from_timm, from_transformers

__all__ = ["from_beats", "from_timm", "from_transformers"]
