"""Weights and files of other programs, to and from our own folders."""

from maskmm.interop.exporting import export_transformers
from maskmm.interop.importing import from_beats, from_timm, from_transformers, read_public

__all__ = ["export_transformers", "from_beats", "from_timm", "from_transformers", "read_public"]
