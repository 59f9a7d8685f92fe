"""Checkpoint folders that describe themselves: nothing guessed from key names, nothing unpickled."""

from maskmm.checkpoint.hub import resolve_folder
from maskmm.checkpoint.manifest import FORMAT_VERSION, Manifest
from maskmm.checkpoint.reading import Checkpoint, load_checkpoint
from maskmm.checkpoint.writing import save_checkpoint

__all__ = [
    "FORMAT_VERSION",
    "Checkpoint",
    "Manifest",
    "load_checkpoint",
    "resolve_folder",
    "save_checkpoint",
]
