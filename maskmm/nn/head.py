"""What stands before the linear head."""

from __future__ import annotations

from torch import Tensor, nn

from maskmm.nn.activations import PLAIN
from maskmm.nn.linear import Linear
from maskmm.nn.norm import build_norm
from maskmm.nn.transformer_config import TransformerConfig


class DenseTransform(nn.Module):
    """norm(activation(dense(x))) (Devlin et al., BERT, 2019).

    Args:
        config: of the whole model.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.dense = Linear(config.width, config.width, bias=config.head.has_dense_bias)
        self.activation = PLAIN[config.head.activation]
        self.norm = build_norm(config.width, config.norm)

    def forward(self, x_TD: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        return self.norm(self.activation(self.dense(x_TD)))
