"""Pictures, sounds and one page of what a model generated."""

from maskmm.evaluation.gallery.write import write_gallery

__all__ = ["write_gallery"]
