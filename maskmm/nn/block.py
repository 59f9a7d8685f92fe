"""The transformer block: attention and feed-forward, joined to the stream in one of three orders."""

from __future__ import annotations

from torch import Tensor, nn

from maskmm.nn.context import LayerContext
from maskmm.nn.feed_forward import build_feed_forward
from maskmm.nn.mixer import Mixer
from maskmm.nn.norm import build_norm
from maskmm.nn.residual import Residual
from maskmm.nn.self_attention import Attention
from maskmm.nn.transformer_config import TransformerConfig


class PreNormBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)).

    Args:
        config: of the whole model.
        is_normed: False where the stream comes normed already: no norm before the attention.
    """

    def __init__(self, config: TransformerConfig, is_normed: bool = False) -> None:
        super().__init__()
        self.attention_norm = nn.Identity() if is_normed else build_norm(config.width, config.norm)
        self.attention: Mixer = Attention(config)
        self.ffn_norm = build_norm(config.width, config.norm)
        self.ffn = build_feed_forward(config.width, config.ffn)
        self.attention_residual = Residual(config.width, config.residual)
        self.ffn_residual = Residual(config.width, config.residual)

    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D); (R, D) where R rows are asked."""
        draws = context.draws
        branch_ND = self.attention.answer(self.attention_norm(x_ND), context)
        x_ND = self.attention_residual(context.answering(x_ND), branch_ND, draws[0])
        return self.ffn_residual(x_ND, self.ffn(self.ffn_norm(x_ND)), draws[1])


class PostNormBlock(nn.Module):
    """norm(alpha x + attention(x)), then norm(alpha x + feed-forward(x)) (Vaswani et al., 2017; DeepNorm, 2022).

    Args:
        config: of the whole model; alpha is 1 unless its placement is "deepnorm".
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        alpha = (2 * config.depth) ** 0.25 if config.norm.placement == "deepnorm" else 1.0
        self.attention_norm = build_norm(config.width, config.norm)
        self.attention: Mixer = Attention(config)
        self.ffn_norm = build_norm(config.width, config.norm)
        self.ffn = build_feed_forward(config.width, config.ffn)
        self.attention_residual = Residual(config.width, config.residual, alpha)
        self.ffn_residual = Residual(config.width, config.residual, alpha)

    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D); (R, D) where R rows are asked."""
        draws = context.draws
        branch_ND = self.attention.answer(x_ND, context)
        x_ND = self.attention_norm(self.attention_residual(context.answering(x_ND), branch_ND, draws[0]))
        return self.ffn_norm(self.ffn_residual(x_ND, self.ffn(x_ND), draws[1]))


class ParallelBlock(nn.Module):
    """x + attention(norm(x)) + feed-forward(norm(x)), one norm for both (Wang and Komatsuzaki, GPT-J, 2021).

    Args:
        config: of the whole model.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = build_norm(config.width, config.norm)
        self.attention: Mixer = Attention(config)
        self.ffn = build_feed_forward(config.width, config.ffn)
        self.attention_residual = Residual(config.width, config.residual)
        self.ffn_residual = Residual(config.width, config.residual)

    def forward(self, x_ND: Tensor, context: LayerContext) -> Tensor:
        """(N, D) -> (N, D); (R, D) where R rows are asked."""
        draws = context.draws
        normed_ND = self.norm(x_ND)
        branch_ND = self.attention.answer(normed_ND, context)
        x_ND = self.attention_residual(context.answering(x_ND), branch_ND, draws[0])
        return self.ffn_residual(x_ND, self.ffn(context.answering(normed_ND)), draws[1])


def build_block(config: TransformerConfig, layer: int) -> nn.Module:
    """Block `layer` (0-based) of the model that the config describes."""
    if config.residual.is_parallel:
        return ParallelBlock(config)
    if config.norm.placement == "pre":
        return PreNormBlock(config, is_normed=config.norm.is_first_skipped and layer == 0)
    return PostNormBlock(config)
