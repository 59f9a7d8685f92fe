"""Tokenizers of other packages and their checkpoints, with this package's contract."""

from tokenizers_vq.pretrained.dac import PretrainedDac
from tokenizers_vq.pretrained.encodec import PretrainedEncodec
from tokenizers_vq.pretrained.mimi import PretrainedMimi
from tokenizers_vq.pretrained.open_magvit2 import load_open_magvit2
from tokenizers_vq.pretrained.vq_model import PretrainedVQModel
from tokenizers_vq.pretrained.vqgan_checkpoints import load_llamagen, load_taming

__all__ = [
    "PretrainedDac",
    "PretrainedEncodec",
    "PretrainedMimi",
    "PretrainedVQModel",
    "load_llamagen",
    "load_open_magvit2",
    "load_taming",
]
