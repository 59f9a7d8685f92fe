"""Data: embedded corpora, media files, token stores, and the plans that make resume exact."""
