"""Weights and files of other programs, to and from our own folders."""
