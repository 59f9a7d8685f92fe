"""Encoders on the same samples: ours on packed rows, public ones on padded batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness import Row
from benchmarks.work import text_sequence, text_vocabulary
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, NormConfig, PositionConfig
from maskmm.sequence import TokenSequence, take_samples
from maskmm.vocabulary import Vocabulary

NUM_CODES = 8192


@dataclass(frozen=True)
class Samples:
    """The same token ids packed and padded, longest sample first.

    Attributes:
        lengths: of the samples, descending.
        longest: columns of the padded batch.
        sequence: packed for our model.
        ids: (B, T) int64 as public models count them, 0 where there is nothing.
        is_real: (B, T) bool.
    """

    lengths: list[int]
    longest: int
    sequence: TokenSequence
    ids: Tensor
    is_real: Tensor

    @classmethod
    def make(cls, lengths: list[int], longest: int, vocabulary: Vocabulary | None = None) -> Samples:
        """Random ids for these lengths."""
        vocabulary = vocabulary or text_vocabulary(NUM_CODES, longest)
        sequence = text_sequence(lengths, vocabulary)
        ordered = sorted(lengths, reverse=True)
        is_real = torch.arange(longest) < torch.tensor(ordered)[:, None]
        ids = torch.zeros(len(lengths), longest, dtype=torch.long)
        ids[is_real] = sequence.ids[:, 0] - vocabulary.slice("text", 0).start
        return cls(ordered, longest, sequence, ids, is_real)

    @property
    def work(self) -> str:
        """For the table."""
        return f"{sum(self.lengths)} tokens in {len(self.lengths)} samples of at most {self.longest}"


def build_bert(
    width: int, depth: int, longest: int, kind: str = "BertModel", num_codes: int = NUM_CODES
) -> Any:
    """transformers' BERT without dropout, random weights; heads of 64 channels."""
    import transformers

    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=num_codes, hidden_size=width, num_hidden_layers=depth, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=longest,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    options = {"add_pooling_layer": False} if kind == "BertModel" else {}
    return getattr(transformers, kind)(config, **options).eval()


def plain_block(width: int, depth: int, longest: int) -> MaskedTransformer:
    """Pre-norm, LayerNorm, GELU, a table of positions, no biases: BERT's matrix products in their plainest form."""
    config = TransformerConfig(
        width=width,
        depth=depth,
        attention=AttentionConfig(num_heads=width // 64),
        ffn=FeedForwardConfig(width=4 * width, kind="gelu"),
        norm=NormConfig(kind="layer"),
        positions=PositionConfig(rotary=None),
    )
    return MaskedTransformer(text_vocabulary(NUM_CODES, longest), config).eval()


def gated_rotary(width: int, depth: int, longest: int) -> MaskedTransformer:
    """The house's own: RMSNorm, SwiGLU, rotary; three matrices of 2/3 of 4 D do the operations of two of 4 D."""
    config = TransformerConfig(
        width=width,
        depth=depth,
        attention=AttentionConfig(num_heads=width // 64),
        ffn=FeedForwardConfig(width=8 * width // 3),
    )
    return MaskedTransformer(text_vocabulary(NUM_CODES, longest), config).eval()


def one_pass(forward: Callable[[], Tensor], model: nn.Module, is_training: bool) -> Callable[[], object]:
    """A forward without gradient, or a forward and backward."""

    def evaluate() -> None:
        with torch.no_grad():
            forward()

    def train() -> None:
        forward().sum().backward()
        model.zero_grad(set_to_none=True)

    return train if is_training else evaluate


def same_features(ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> Callable[[], Row]:
    """A check that two encoders with the same weights agree to 1e-4; it returns the largest difference."""

    def check() -> Row:
        with torch.no_grad():
            found, wanted = ours(), theirs()
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        return {"largest_difference": float((found - wanted).abs().max())}

    return check


def packs_exactly(model: MaskedTransformer, sequence: TokenSequence) -> Callable[[], None]:
    """A check that the first and last sample have the features that they have alone."""

    def check() -> None:
        with torch.no_grad():
            packed = model.forward_features(sequence)
            for index in (0, sequence.num_samples - 1):
                alone = model.forward_features(take_samples(sequence, torch.tensor([index])))
                rows = slice(int(sequence.cu_seqlens[index]), int(sequence.cu_seqlens[index + 1]))
                torch.testing.assert_close(packed[rows], alone, atol=1e-4, rtol=1e-4)

    return check
