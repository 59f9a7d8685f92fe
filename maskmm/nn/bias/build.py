"""The positional biases that a config names."""

from __future__ import annotations

from torch import nn

from maskmm.nn.bias.alibi import Alibi
from maskmm.nn.bias.base import PositionBias
from maskmm.nn.bias.bucketed import BucketedBias
from maskmm.nn.bias.table_2d import TableBias
from maskmm.nn.coordinates import num_axes
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.vocabulary import Vocabulary


def build_biases(vocabulary: Vocabulary, config: TransformerConfig) -> nn.ModuleList:
    """No bias, one that all layers share, or one for each layer."""
    options = config.positions
    if options.bias is None:
        return nn.ModuleList()
    count = 1 if options.is_bias_shared else config.depth
    return nn.ModuleList(_build_bias(vocabulary, config) for _ in range(count))


def _build_bias(vocabulary: Vocabulary, config: TransformerConfig) -> PositionBias:
    options, num_heads = config.positions, config.attention.num_heads
    if options.bias == "alibi":
        return Alibi(num_heads, options.source)
    if options.bias == "table_2d":
        return TableBias(num_heads, vocabulary)
    axes = num_axes(vocabulary, options.source)
    return BucketedBias(num_heads, axes, options.num_buckets, options.max_distance, options.source)
