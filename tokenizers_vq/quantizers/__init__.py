"""Quantizers: continuous latents -> codes -> latents. One quantizer, one file, one return type."""

from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.residual import ResidualVQ
from tokenizers_vq.quantizers.vq import VectorQuantizer

__all__ = ["Quantizer", "ResidualVQ", "VectorQuantizer", "nearest_code", "straight_through"]
