"""Feed-forward of a block, plain or gated."""

from __future__ import annotations

from torch import Tensor, nn

from maskmm.nn.activations import GATED, PLAIN, Activation
from maskmm.nn.config import FeedForwardConfig
from maskmm.nn.linear import Linear


class GatedFeedForward(nn.Module):
    """down(activation(gate(x)) * up(x)) (Shazeer, "GLU variants improve transformer", 2020).

    Args:
        width: D.
        hidden: width between.
        activation: of the gate.
        has_bias: both projections have biases.
    """

    def __init__(self, width: int, hidden: int, activation: Activation, has_bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.gate_up = Linear(width, 2 * hidden, bias=has_bias)
        self.down = Linear(hidden, width, bias=has_bias)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        gate, up = self.gate_up(x_ND).chunk(2, dim=-1)
        return self.down(self.activation(gate) * up)


class FeedForward(nn.Module):
    """down(activation(up(x))).

    Args:
        width: D.
        hidden: width between.
        activation: between the two projections.
        has_bias: both projections have biases.
    """

    def __init__(self, width: int, hidden: int, activation: Activation, has_bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.up = Linear(width, hidden, bias=has_bias)
        self.down = Linear(hidden, width, bias=has_bias)

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        return self.down(self.activation(self.up(x_ND)))


def build_feed_forward(width: int, config: FeedForwardConfig) -> nn.Module:
    """The feed-forward that the config names."""
    if config.kind in GATED:
        return GatedFeedForward(width, config.width, GATED[config.kind], config.has_bias)
    return FeedForward(width, config.width, PLAIN[config.kind], config.has_bias)
