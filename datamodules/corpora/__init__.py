"""Corpora that ordinary package installs bring along."""
