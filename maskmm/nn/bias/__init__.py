"""Positional biases of attention scores, one a file."""

from maskmm.nn.bias.base import PositionBias
from maskmm.nn.bias.build import build_biases

__all__ = ["PositionBias", "build_biases"]
