"""Layers that put rows back which the encoder did not see (Meng et al., "MAE-LM", 2024; He et al., "MAE", 2022)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from maskmm.nn.bias import build_biases
from maskmm.nn.block import build_block
from maskmm.nn.context import LayerContext
from maskmm.nn.contexts import layer_contexts
from maskmm.nn.draws import LayerDraws
from maskmm.nn.initial_weights import start_weights
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.linear import Linear
from maskmm.nn.norm import build_norm
from maskmm.nn.rotary import build_rotary
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.rows import AskedRows, EncodedRows
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary

RunBlock = Callable[[nn.Module, Tensor, LayerContext], Tensor]


class LightDecoder(nn.Module):
    """Blocks over all rows: encoded ones as the encoder left them, left-out ones as their embeddings.

    Rows enter through a linear layer each way and leave through one where its width is not the encoder's.

    Args:
        vocabulary: for the axes of positions.
        config: of the encoder.

    Raises:
        ValueError: a config without a decoder.
    """

    def __init__(self, vocabulary: Vocabulary, config: TransformerConfig) -> None:
        super().__init__()
        own = config.decoder
        if own is None:
            raise ValueError("head.decoder=None, expected a DecoderConfig")
        self.config = own
        outer, inner = config.width, own.width
        self.enter_encoded = nn.Identity() if inner == outer else Linear(outer, inner)
        self.enter_left_out = nn.Identity() if inner == outer else Linear(outer, inner)
        self.rotary = build_rotary(vocabulary, own, own.positions.rotary)
        self.blocks = nn.ModuleList(build_block(own, layer) for layer in range(own.depth))
        self.biases = build_biases(vocabulary, own)
        self.norm = build_norm(inner, own.norm) if own.norm.has_final else nn.Identity()
        self.leave = nn.Identity() if inner == outer else Linear(inner, outer)
        start_weights(self, own)

    def forward(
        self,
        encoded_MD: Tensor,
        embedded_ND: Tensor,
        encoded: EncodedRows,
        sequence: TokenSequence,
        layout: AttentionLayout,
        asked: AskedRows | None,
        run: RunBlock,
        draws: Sequence[LayerDraws] | None,
    ) -> Tensor:
        """Features for the head.

        Args:
            encoded_MD: the encoder's output for the rows it saw.
            embedded_ND: embeddings of all rows; those of left-out rows are used.
            encoded: which rows the encoder saw.
            sequence: all rows.
            layout: attention over all rows.
            asked: rows that answer; None = all.
            run: how a block is run.
            draws: of each layer and all rows; None = none.

        Returns:
            (R, D) of the asked rows, or (N, D).
        """
        # Under autocast the linear layers give half precision; the stream is not theirs.
        x_NW = self.enter_left_out(embedded_ND).to(embedded_ND.dtype)
        x_NW = x_NW.index_copy(0, encoded.index, self.enter_encoded(encoded_MD).to(x_NW.dtype))
        contexts = layer_contexts(self.config, sequence, layout, self.rotary, None, self.biases, draws)
        if asked is not None:
            contexts[-1] = contexts[-1].asking(asked)
        for block, context in zip(self.blocks, contexts):
            x_NW = run(block, x_NW, context)
        return self.leave(self.norm(x_NW))
