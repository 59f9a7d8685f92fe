"""Positional biases of attention scores, one a file."""

from maskmm.nn.bias.base import BoundBias, PositionBias
from maskmm.nn.bias.build import build_biases
from maskmm.nn.bias.indexed import IndexedBias

__all__ = ["BoundBias", "IndexedBias", "PositionBias", "build_biases"]
