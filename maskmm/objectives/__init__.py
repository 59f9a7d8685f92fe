"""Losses, as named sums and counts."""
