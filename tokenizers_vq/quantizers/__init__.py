"""Quantizers: continuous latents -> codes -> latents. One quantizer, one file, one return type."""

from tokenizers_vq.quantizers.base import Quantizer, straight_through
from tokenizers_vq.quantizers.bits import BitEntropy
from tokenizers_vq.quantizers.bsq import BSQ
from tokenizers_vq.quantizers.cosine import CosineVQ
from tokenizers_vq.quantizers.fsq import FSQ
from tokenizers_vq.quantizers.gradient import GradientVQ
from tokenizers_vq.quantizers.grouped import GroupedQuantizer
from tokenizers_vq.quantizers.gumbel import GumbelQuantizer
from tokenizers_vq.quantizers.lfq import LFQ
from tokenizers_vq.quantizers.lookup import nearest_code
from tokenizers_vq.quantizers.projected import ProjectedQuantizer
from tokenizers_vq.quantizers.random_projection import RandomProjectionQuantizer
from tokenizers_vq.quantizers.regularisers import Orthogonality, SoftEntropy
from tokenizers_vq.quantizers.residual import ResidualVQ
from tokenizers_vq.quantizers.residual_quantizer import ResidualQuantizer
from tokenizers_vq.quantizers.vq import VectorQuantizer

__all__ = [
    "BSQ",
    "FSQ",
    "LFQ",
    "BitEntropy",
    "CosineVQ",
    "GradientVQ",
    "GroupedQuantizer",
    "GumbelQuantizer",
    "Orthogonality",
    "ProjectedQuantizer",
    "Quantizer",
    "RandomProjectionQuantizer",
    "ResidualQuantizer",
    "ResidualVQ",
    "SoftEntropy",
    "VectorQuantizer",
    "nearest_code",
    "straight_through",
]
