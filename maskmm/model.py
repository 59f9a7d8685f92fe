"""The one shared transformer over the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskmm.nn.bias import build_biases
from maskmm.nn.block import build_block
from maskmm.nn.context import LayerContext
from maskmm.nn.contexts import layer_contexts
from maskmm.nn.conv_positions import ConvPositions
from maskmm.nn.depth_average import DepthAverage
from maskmm.nn.drop_path import DropPath
from maskmm.nn.embedding import TokenEmbedding
from maskmm.nn.head import DenseTransform
from maskmm.nn.initial_weights import start_weights
from maskmm.nn.layout import AttentionLayout, Predicate
from maskmm.nn.light_decoder import LightDecoder
from maskmm.nn.linear import linear
from maskmm.nn.norm import build_norm
from maskmm.nn.rotary import build_rotary
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.rows import AskedRows, EncodedRows, is_wholly_masked
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary

__all__ = ["MaskedTransformer", "TransformerConfig"]


class MaskedTransformer(nn.Module):
    """embed -> blocks -> norm -> heads on the rows that are asked.

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
        options = config.positions
        self.embedding = TokenEmbedding(vocabulary, config)
        self.rotary = build_rotary(vocabulary, config, options.rotary)
        self.local_rotary = build_rotary(vocabulary, config, options.local_base)
        self.blocks = nn.ModuleList(build_block(config, layer) for layer in range(config.depth))
        self.norm = build_norm(config.width, config.norm) if config.norm.has_final else nn.Identity()
        self.head_bias = nn.Parameter(torch.zeros(vocabulary.size)) if config.head.has_bias else None
        self.head_weight = (
            None if config.head.is_tied else nn.Parameter(torch.zeros(vocabulary.size, config.width))
        )
        self.head_transform = DenseTransform(config) if config.head.kind == "dense" else nn.Identity()
        self.embedding_norm = (
            build_norm(config.width, config.norm) if config.norm.has_embedding_norm else nn.Identity()
        )
        self.embedding_dropout = nn.Dropout(config.embedding.dropout)
        self.conv_positions = (
            None
            if options.conv_kernel is None
            else ConvPositions(config.width, options.conv_kernel, options.conv_groups)
        )
        self.biases = build_biases(vocabulary, config)
        self.depth_average = DepthAverage(config.depth) if config.residual.has_depth_average else None
        start_weights(self, config)
        self.embedding.start()
        rate = config.residual.drop_path
        self.drop_path = DropPath(config.depth, rate) if rate else None
        self.decoder = None if config.head.decoder is None else LightDecoder(vocabulary, config)

    def layout(self, sequence: TokenSequence, predicate: Predicate | None = None) -> AttentionLayout:
        """Attention inside each sample of a packed batch, restricted by a predicate where one is given."""
        return AttentionLayout.build(sequence.cu_seqlens, max_length=self.config.longest, predicate=predicate)

    def forward(self, sequence: TokenSequence, layout: AttentionLayout | None = None) -> Tensor:
        """(N, D) features after the last norm."""
        return self.forward_features(sequence, layout)

    def forward_features(self, sequence: TokenSequence, layout: AttentionLayout | None = None) -> Tensor:
        """(N, D) features for the head: after the last norm, of the decoder where the model has one.

        A model with a decoder leaves rows that show masks alone out of its encoder.

        Args:
            sequence: packed rows.
            layout: who may attend to whom where it is not everything in each sample: `model.layout` with a predicate
                of `maskmm.nn.structure`, or a step of `maskmm.nn.cache.KeyValueCache`.

        Raises:
            ValueError: another vocabulary than the model's.
        """
        if self.decoder is not None:
            return self._put_back(sequence, None, layout, None)
        return self._encode(sequence, layout)[0]

    def forward_asked(
        self,
        sequence: TokenSequence,
        asked: AskedRows,
        layout: AttentionLayout | None = None,
        encoded: EncodedRows | None = None,
    ) -> Tensor:
        """(R, D) features for the head of some rows: exactly those rows of `forward_features`.

        The last block computes queries, feed-forward and norm for these rows alone (MosaicBERT: Portes et al., 2023).

        Args:
            sequence: packed rows, all of which are seen.
            asked: which of them answer.
            layout: see `forward_features`.
            encoded: rows that the encoder sees, for a model with a decoder; found here where not given.

        Raises:
            ValueError: another vocabulary than the model's, or encoded rows without a decoder.
        """
        if self.decoder is not None:
            return self._put_back(sequence, asked, layout, encoded)
        if encoded is not None:
            raise ValueError(
                "the masking leaves rows out of the encoder (is_encoded), but the model has head.decoder=None to put "
                "them back; give the transformer a head.decoder, or use the masking without LeaveOutMasked"
            )
        return self._encode(sequence, layout, asked=asked)[0]

    def _put_back(
        self,
        sequence: TokenSequence,
        asked: AskedRows | None,
        layout: AttentionLayout | None,
        encoded: EncodedRows | None,
    ) -> Tensor:
        """Encoder on the encoded rows, decoder on all."""
        assert self.decoder is not None
        if layout is not None:
            raise ValueError(
                f"a layout with predicate={layout.predicate} and cache={layout.cache} for a model with head.decoder="
                f"{self.config.head.decoder}: encoder and decoder see other rows each and make layouts of their own"
            )
        self._check_vocabulary(sequence)
        encoded = encoded or EncodedRows.of(sequence, ~is_wholly_masked(sequence))
        layout = self.layout(sequence)
        x_ND = self.embedding(sequence)
        x_MD = x_ND[encoded.index]
        if self.conv_positions is not None:
            seen_ND = torch.zeros_like(x_ND).index_copy(0, encoded.index, x_MD)
            x_MD = x_MD + self.conv_positions(seen_ND, layout)[encoded.index]
        seen = encoded.sequence
        contexts = self._contexts(sequence, self.layout(seen), seen.sample, encoded.index)
        x_MD = self._through(self._finish(x_MD), contexts, [len(self.blocks)])[0]
        return self.decoder(x_MD, self._finish(x_ND), encoded, sequence, layout, asked, self._run)

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
        return self._encode(sequence, layout, [layer % (depth + 1) for layer in layers])

    def _check_vocabulary(self, sequence: TokenSequence) -> None:
        if sequence.vocabulary is not self.vocabulary and sequence.vocabulary != self.vocabulary:
            raise ValueError(
                f"the sequence was packed for modalities {sequence.vocabulary.names} with another vocabulary than "
                f"the model's {self.vocabulary.names}; pack it with model.vocabulary"
            )

    def _encode(
        self,
        sequence: TokenSequence,
        layout: AttentionLayout | None,
        layers: Sequence[int] | None = None,
        asked: AskedRows | None = None,
    ) -> list[Tensor]:
        """All rows through the encoder: outputs of the layers 0 .. depth, the last where not given, of asked rows."""
        self._check_vocabulary(sequence)
        layout = layout or self.layout(sequence)
        contexts = self._contexts(sequence, layout, sequence.sample)
        if asked is not None:
            contexts[-1] = contexts[-1].asking(asked)
        x_ND = self._embed(sequence, layout)
        return self._through(x_ND, contexts, [len(self.blocks)] if layers is None else layers)

    def _contexts(
        self, sequence: TokenSequence, layout: AttentionLayout, sample: Tensor, rows: Tensor | None = None
    ) -> list[LayerContext]:
        keep = None
        if self.drop_path is not None and self.training:
            keep = self.drop_path(sequence.sample_id, sample)
        return layer_contexts(
            self.config, sequence, layout, self.rotary, self.local_rotary, self.biases, keep, rows
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

    def _embed(self, sequence: TokenSequence, layout: AttentionLayout) -> Tensor:
        x_ND = self.embedding(sequence)
        if self.conv_positions is not None:
            x_ND = x_ND + self.conv_positions(x_ND, layout)
        return self._finish(x_ND)

    def _finish(self, x_ND: Tensor) -> Tensor:
        return self.embedding_dropout(self.embedding_norm(x_ND))

    def _run(self, block: nn.Module, x_ND: Tensor, context: LayerContext) -> Tensor:
        if self.checkpoints_activations and self.training and torch.is_grad_enabled():
            return checkpoint(block, x_ND, context, use_reentrant=False)
        return block(x_ND, context)

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        """Scores of the codes of one codebook.

        The linear head is tied to the embedding or a table of its own; a "dense" head first transforms the features.

        Args:
            features: (T, D) rows of `forward_features`.
            name, codebook: which slice of the vocabulary.

        Returns:
            (T, V) float.
        """
        ids = self.vocabulary.slice(name, codebook)
        bias = None if self.head_bias is None else self.head_bias[ids]
        return linear(self.head_transform(features), self._head_table()[ids], bias)

    def logits_of(self, questions: Sequence[tuple[Tensor, str, int]]) -> list[Tensor]:
        """`logits` for several (features, name, codebook), for training."""
        if not questions:
            return []
        heads = self.heads()
        return [heads[name, codebook](features) for features, name, codebook in questions]

    def heads(self) -> dict[tuple[str, int], Callable[[Tensor], Tensor]]:
        """`logits` of each (name, codebook) as a function of features, for training.

        The table is split once: the backward of a slice would write a gradient of the whole table for each of them.
        """
        names = [(m.name, q) for m in self.vocabulary.modalities for q in range(m.spec.num_codebooks)]
        slices = [self.vocabulary.slice(*name) for name in names]
        sizes = [slices[0].start, *(s.stop - s.start for s in slices)]
        weights = self._head_table().split(sizes)[1:]
        biases: Sequence[Tensor | None] = [None] * len(names)
        if self.head_bias is not None:
            biases = self.head_bias.split(sizes)[1:]
        return {name: partial(self._linear_head, w, b) for name, w, b in zip(names, weights, biases)}

    def _linear_head(self, weight: Tensor, bias: Tensor | None, features: Tensor) -> Tensor:
        return linear(self.head_transform(features), weight, bias)

    def _head_table(self) -> Tensor:
        return self.embedding.codes.weight if self.head_weight is None else self.head_weight
