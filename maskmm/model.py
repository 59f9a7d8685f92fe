"""The one shared transformer over the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskmm.nn.draws import draws_of_rows
from maskmm.nn.encoder import Encoder
from maskmm.nn.head import DenseTransform
from maskmm.nn.initial_weights import start_weights
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.light_decoder import LightDecoder
from maskmm.nn.linear import linear
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.rows import AskedRows, EncodedRows, is_wholly_masked
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary

__all__ = ["MaskedTransformer", "TransformerConfig"]


class MaskedTransformer(Encoder):
    """The encoder, a light decoder where rows are left out of it, and heads on the rows that are asked.

    Args:
        vocabulary: joint ids of every modality.
        config: shape of the network.
    """

    def __init__(self, vocabulary: Vocabulary, config: TransformerConfig) -> None:
        super().__init__(vocabulary, config)
        self.head_bias = nn.Parameter(torch.zeros(vocabulary.size)) if config.head.has_bias else None
        self.head_weight = (
            None if config.head.is_tied else nn.Parameter(torch.zeros(vocabulary.size, config.width))
        )
        self.head_transform = DenseTransform(config) if config.head.kind == "dense" else nn.Identity()
        start_weights(self, config)
        self.embedding.start()
        self.decoder = None if config.head.decoder is None else LightDecoder(vocabulary, config)

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
        return self.encode(sequence, layout)[0]

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
        return self.encode(sequence, layout, asked=asked)[0]

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
        draws = self._draw(sequence)
        x_ND = self.embedding(sequence)
        x_MD = x_ND[encoded.index]
        if self.conv_positions is not None:
            seen_ND = torch.zeros_like(x_ND).index_copy(0, encoded.index, x_MD)
            x_MD = x_MD + self.conv_positions(seen_ND, layout)[encoded.index]
        seen = encoded.sequence
        seen_draws = None if draws is None else [draws_of_rows(layer, encoded.index) for layer in draws]
        contexts = self._contexts(sequence, self.layout(seen), seen_draws, encoded.index)
        x_MD = self._through(self._finish(x_MD, seen_draws), contexts, [len(self.blocks)])[0]
        later = None if draws is None else draws[len(self.blocks) :]
        x_ND = self._finish(x_ND, draws)
        return self.decoder(x_MD, x_ND, encoded, sequence, layout, asked, self._run, later)

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
        table, bias = self.head_table()
        return linear(self.head_transform(features), table[ids], None if bias is None else bias[ids])

    def logits_of(self, questions: Sequence[tuple[Tensor, str, int]]) -> list[Tensor]:
        """`logits` for several (features, name, codebook), for training.

        The table is split once: the backward of a slice would write a gradient of the whole table for each of them.
        """
        if not questions:
            return []
        names = [(m.name, q) for m in self.vocabulary.modalities for q in range(m.spec.num_codebooks)]
        slices = [self.vocabulary.slice(*name) for name in names]
        sizes = [slices[0].start, *(s.stop - s.start for s in slices)]
        table, bias = self.head_table()
        weights = dict(zip(names, table.split(sizes)[1:]))
        biases: dict[tuple[str, int], Tensor] = (
            {} if bias is None else dict(zip(names, bias.split(sizes)[1:]))
        )
        return [
            linear(self.head_transform(features), weights[name, codebook], biases.get((name, codebook)))
            for features, name, codebook in questions
        ]

    def head_table(self) -> tuple[Tensor, Tensor | None]:
        """(V, D) and (V,) by joint id: logits are the table times `head_transform` of the features, plus the bias."""
        table = self.embedding.codes.weight if self.head_weight is None else self.head_weight
        return table, self.head_bias
