"""Byte-pair encoding of 2-D code grids: fewer tokens for the same codes, and back exactly."""

from tokenizers_vq.visual_bpe.learning import learn_merges
from tokenizers_vq.visual_bpe.merges import DOWN, RIGHT, Merges
from tokenizers_vq.visual_bpe.tokenizer import VisualBPE

__all__ = ["DOWN", "RIGHT", "Merges", "VisualBPE", "learn_merges"]
