"""The one shared transformer over the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.nn.attention import varlen_obstacle
from maskmm.nn.block import Block
from maskmm.nn.embedding import TokenEmbedding
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.rotary import AxialRotary
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the transformer.

    Args:
        width: D.
        depth: number of blocks.
        num_heads: H; width / H must be even.
        ffn_width: hidden width of the gated feed-forward.
        qk_norm: RMS-normalise queries and keys.
        rotary_base: base of the rotary wavelengths, in tokens.
        has_learned_positions: add learned axial positions to the embedding.
        dropout: on both residual branches.
        norm_eps: epsilon of every RMSNorm.
        init_std: standard deviation of embeddings and linear weights (truncated normal).
        max_length: most rows of one sample; asked for longer ones the model fails. None = no bound.
        input_widths: modality name -> channels of its continuous inputs.

    Raises:
        ValueError: numbers that contradict each other, both quoted.
    """

    width: int = 256
    depth: int = 6
    num_heads: int = 4
    ffn_width: int = 688
    qk_norm: bool = False
    rotary_base: float = 100.0
    has_learned_positions: bool = True
    dropout: float = 0.0
    norm_eps: float = 1e-6
    init_std: float = 0.02
    max_length: int | None = None
    input_widths: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.num_heads, self.ffn_width) < 1:
            raise ValueError(
                f"width={self.width}, depth={self.depth}, num_heads={self.num_heads}, ffn_width={self.ffn_width}: "
                "all must be at least 1"
            )
        if self.width % self.num_heads or (self.width // self.num_heads) % 2:
            raise ValueError(
                f"width={self.width} over num_heads={self.num_heads} gives {self.width / self.num_heads:g} channels "
                "a head; it must be a whole even number"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout}, expected 0 <= dropout < 1")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TransformerConfig:
        """Inverse of `to_dict`.

        Raises:
            ValueError: a field this version does not know.
        """
        unknown = sorted(set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise ValueError(
                f"transformer config has unknown fields {unknown}; it may come from another version"
            )
        return cls(**data)


class MaskedTransformer(nn.Module):
    """embed -> blocks -> norm -> heads on the rows that are asked.

    Args:
        vocabulary: joint ids of every modality.
        config: shape of the network.
    """

    def __init__(self, vocabulary: Vocabulary, config: TransformerConfig) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.config = config
        self.embedding = TokenEmbedding(
            vocabulary, config.width, config.has_learned_positions, config.input_widths
        )
        self.rotary = AxialRotary(config.width // config.num_heads, len(vocabulary.axes), config.rotary_base)
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                config.num_heads,
                config.ffn_width,
                config.qk_norm,
                config.norm_eps,
                config.dropout,
            )
            for _ in range(config.depth)
        )
        self.norm = nn.RMSNorm(config.width, eps=config.norm_eps)
        self.head_bias = nn.Parameter(torch.zeros(vocabulary.size))
        self._init_weights()

    def _init_weights(self) -> None:
        std = self.config.init_std
        for name, parameter in self.named_parameters():
            if parameter.ndim >= 2:
                # Residual outputs are scaled down with depth, so that the stream keeps its variance.
                is_residual = name.endswith(("attention.out.weight", "ffn.down.weight"))
                scale = (2 * self.config.depth) ** -0.5 if is_residual else 1.0
                nn.init.trunc_normal_(parameter, std=std * scale, a=-3 * std, b=3 * std)
        with torch.no_grad():
            self.embedding.codes.weight[self.vocabulary.pad_id].zero_()
            self.embedding.repeat.weight.zero_()
            if self.embedding.positions is not None:
                self.embedding.positions.weight[0].zero_()

    def layout(self, sequence: TokenSequence) -> AttentionLayout:
        """Attention layout of a packed batch: full attention inside each sample."""
        device = sequence.ids.device.type
        dtype = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.norm.weight.dtype
        )
        return AttentionLayout.build(
            sequence.cu_seqlens,
            max_length=self.config.max_length,
            needs_runs=varlen_obstacle(device, dtype) is not None,
        )

    def forward(self, sequence: TokenSequence) -> Tensor:
        """(N, D) features after the last norm."""
        return self.forward_features(sequence)

    def forward_features(self, sequence: TokenSequence) -> Tensor:
        """(N, D) features after the last norm.

        Raises:
            ValueError: another vocabulary than the model's.
        """
        return self.forward_intermediates(sequence, [-1])[0]

    def forward_intermediates(self, sequence: TokenSequence, layers: Sequence[int]) -> list[Tensor]:
        """Outputs of several layers in one pass.

        Args:
            sequence: packed rows.
            layers: 0 = embedding, i = block i, depth = -1 = last block after the last norm.

        Returns:
            one (N, D) tensor a layer, in the order asked.

        Raises:
            ValueError: a layer out of range, or another vocabulary than the model's.
        """
        if sequence.vocabulary is not self.vocabulary and sequence.vocabulary != self.vocabulary:
            raise ValueError(
                f"the sequence was packed for modalities {sequence.vocabulary.names} with another vocabulary than "
                f"the model's {self.vocabulary.names}; pack it with model.vocabulary"
            )
        depth = len(self.blocks)
        for layer in layers:
            if not -depth - 1 <= layer <= depth:
                raise ValueError(f"layer {layer}, expected {-depth - 1} to {depth} (0 = embedding)")
        wanted = [layer % (depth + 1) for layer in layers]
        layout = self.layout(sequence)
        cos, sin = self.rotary(sequence.position)
        x_ND = self.embedding(sequence)
        outputs = {0: x_ND}
        for number, block in enumerate(self.blocks[: max(wanted, default=0)], start=1):
            x_ND = block(x_ND, layout, cos, sin)
            if number in wanted:
                outputs[number] = self.norm(x_ND) if number == depth else x_ND
        return [outputs[layer] for layer in wanted]

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        """Scores of the codes of one codebook; the head is tied to the embedding and linear.

        Args:
            features: (T, D) rows of `forward_features`.
            name, codebook: which slice of the vocabulary.

        Returns:
            (T, V) float.
        """
        ids = self.vocabulary.slice(name, codebook)
        return F.linear(features, self.embedding.codes.weight[ids], self.head_bias[ids])

    def logits_of(self, questions: Sequence[tuple[Tensor, str, int]]) -> list[Tensor]:
        """`logits` for several (features, name, codebook), for training.

        The table is split once: the backward of a slice would write a gradient of the whole table for each of them.
        """
        names = [(m.name, q) for m in self.vocabulary.modalities for q in range(m.spec.num_codebooks)]
        slices = [self.vocabulary.slice(*name) for name in names]
        sizes = [slices[0].start, *(s.stop - s.start for s in slices)]
        weights = dict(zip(names, self.embedding.codes.weight.split(sizes)[1:]))
        biases = dict(zip(names, self.head_bias.split(sizes)[1:]))
        return [F.linear(x, weights[name, q], biases[name, q]) for x, name, q in questions]
