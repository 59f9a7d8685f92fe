"""The encoder: embedding, blocks and last norm over packed rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskmm.nn.bias import build_biases
from maskmm.nn.block import build_block
from maskmm.nn.context import LayerContext
from maskmm.nn.contexts import layer_contexts
from maskmm.nn.conv_positions import ConvPositions
from maskmm.nn.depth_average import DepthAverage
from maskmm.nn.draws import FORMER_COUNTERS, HashedDropout, LayerDraws, build_draws
from maskmm.nn.embedding import TokenEmbedding
from maskmm.nn.layout import AttentionLayout, Predicate
from maskmm.nn.norm import build_norm
from maskmm.nn.rotary import build_rotary
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.rows import AskedRows
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


class Encoder(nn.Module):
    """embed -> blocks -> norm.

    Args:
        vocabulary: joint ids of every modality.
        config: shape of the network.

    Attributes:
        checkpoints_activations: training computes the inside of each block again in the backward instead of keeping
            it (Chen et al., "Training deep nets with sublinear memory cost", 2016).
    """

    def __init__(self, vocabulary: Vocabulary, config: TransformerConfig) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.config = config
        self.checkpoints_activations = False
        width, options = config.width, config.positions
        self.embedding = TokenEmbedding(vocabulary, config)
        self.rotary = build_rotary(vocabulary, config, options.rotary)
        self.local_rotary = build_rotary(vocabulary, config, options.local_base)
        self.blocks = nn.ModuleList(build_block(config, layer) for layer in range(config.depth))
        self.norm = build_norm(width, config.norm) if config.norm.has_final else nn.Identity()
        self.embedding_norm = (
            build_norm(width, config.norm) if config.norm.has_embedding_norm else nn.Identity()
        )
        self.embedding_dropout = HashedDropout(width, config.embedding.dropout)
        self.conv_positions = (
            None
            if options.conv_kernel is None
            else ConvPositions(width, options.conv_kernel, options.conv_groups)
        )
        self.biases = build_biases(vocabulary, config)
        self.depth_average = DepthAverage(config.depth) if config.residual.has_depth_average else None
        self.draws = build_draws(config)
        self.register_load_state_dict_pre_hook(_forget_counters)

    def layout(self, sequence: TokenSequence, predicate: Predicate | None = None) -> AttentionLayout:
        """Attention inside each sample of a packed batch, restricted by a predicate where one is given."""
        return AttentionLayout.build(sequence.cu_seqlens, max_length=self.config.longest, predicate=predicate)

    def at_step(self, step: int) -> None:
        """The next training forward leaves out what belongs to this step; it would be the next step's otherwise.

        Parts of one optimizer step are forwards of the same step.
        """
        if self.draws is not None:
            self.draws.step.fill_(step)

    def forward_intermediates(
        self, sequence: TokenSequence, layers: Sequence[int], layout: AttentionLayout | None = None
    ) -> list[Tensor]:
        """Outputs of several layers of the encoder in one pass.

        Args:
            sequence: packed rows.
            layers: 0 = embedding, i = block i, depth = -1 = last block after the last norm.
            layout: see `forward_features`.

        Returns:
            one (N, D) tensor a layer, in the order asked.

        Raises:
            ValueError: a layer out of range, or another vocabulary than the model's.
        """
        depth = len(self.blocks)
        for layer in layers:
            if not -depth - 1 <= layer <= depth:
                raise ValueError(f"layer {layer}, expected {-depth - 1} to {depth} (0 = embedding)")
        return self.encode(sequence, layout, [layer % (depth + 1) for layer in layers])

    def encode(
        self,
        sequence: TokenSequence,
        layout: AttentionLayout | None = None,
        layers: Sequence[int] | None = None,
        asked: AskedRows | None = None,
    ) -> list[Tensor]:
        """All rows through the encoder.

        Args:
            sequence: packed rows.
            layout: who may attend to whom; everything in each sample where not given.
            layers: 0 (embedding) to depth (after the last norm), the last alone where not given.
            asked: rows that the last block answers for; all where not given.

        Returns:
            outputs of these layers, each (N, D), the last block's (R, D) where R rows are asked.

        Raises:
            ValueError: another vocabulary than the model's.
        """
        self._check_vocabulary(sequence)
        layout = layout or self.layout(sequence)
        draws = self._draw(sequence)
        contexts = self._contexts(sequence, layout, draws)
        if asked is not None:
            contexts[-1] = contexts[-1].asking(asked)
        x_ND = self.embedding(sequence)
        if self.conv_positions is not None:
            x_ND = x_ND + self.conv_positions(x_ND, layout)
        x_ND = self._finish(x_ND, draws)
        return self._through(x_ND, contexts, [len(self.blocks)] if layers is None else layers)

    def _check_vocabulary(self, sequence: TokenSequence) -> None:
        if sequence.vocabulary is not self.vocabulary and sequence.vocabulary != self.vocabulary:
            raise ValueError(
                f"the sequence was packed for modalities {sequence.vocabulary.names} with another vocabulary than "
                f"the model's {self.vocabulary.names}; pack it with model.vocabulary"
            )

    def _draw(self, sequence: TokenSequence) -> list[LayerDraws] | None:
        """What this forward leaves out in each layer, those of a decoder next, those of the embedding last."""
        return self.draws(sequence) if self.draws is not None and self.training else None

    def _contexts(
        self,
        sequence: TokenSequence,
        layout: AttentionLayout,
        draws: Sequence[LayerDraws] | None,
        rows: Tensor | None = None,
    ) -> list[LayerContext]:
        return layer_contexts(
            self.config, sequence, layout, self.rotary, self.local_rotary, self.biases, draws, rows
        )

    def _through(self, x_ND: Tensor, contexts: list[LayerContext], wanted: Sequence[int]) -> list[Tensor]:
        """Embedded rows through the blocks."""
        outputs, history, depth = {0: x_ND}, [x_ND], len(self.blocks)
        for number, (block, context) in enumerate(zip(self.blocks[: max(wanted, default=0)], contexts), 1):
            if self.depth_average is not None:
                history = [context.answering(x) for x in history]
            x_ND = self._run(block, x_ND, context)
            if self.depth_average is not None:
                history.append(x_ND)
                x_ND = self.depth_average(history)
            if number in wanted:
                outputs[number] = self.norm(x_ND) if number == depth else x_ND
        return [outputs[layer] for layer in wanted]

    def _finish(self, x_ND: Tensor, draws: Sequence[LayerDraws] | None) -> Tensor:
        """The embedding's norm and dropout."""
        return self.embedding_dropout(
            self.embedding_norm(x_ND), None if draws is None else draws[-1][0].noise
        )

    def _run(self, block: nn.Module, x_ND: Tensor, context: LayerContext) -> Tensor:
        if self.checkpoints_activations and self.training and torch.is_grad_enabled():
            return checkpoint(block, x_ND, context, use_reentrant=False)
        return block(x_ND, context)


def _forget_counters(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name in FORMER_COUNTERS:
        state.pop(prefix + name, None)
