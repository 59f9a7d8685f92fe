"""The whole family in one configuration: size, and one part for each thing that can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
    are_positive,
    check_types,
)
from maskmm.nn.config_upgrade import from_flat_fields

_PARTS: dict[str, type] = {
    "attention": AttentionConfig,
    "ffn": FeedForwardConfig,
    "norm": NormConfig,
    "positions": PositionConfig,
    "residual": ResidualConfig,
    "embedding": EmbeddingConfig,
    "head": HeadConfig,
}


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the transformer.

    Args:
        width: D.
        depth: number of blocks.
        attention: heads, biases, windows.
        ffn: width and kind of the feed-forward.
        norm: kind and place of the norms.
        positions: how rows know where they are.
        residual: what happens between a branch and the stream.
        embedding: what a row's embedding is the sum of.
        head: what turns features into logits.
        init_std: standard deviation of embeddings and linear weights (truncated normal).
        max_length: most rows of one sample; asked for longer ones the model fails. None = no bound.
        input_widths: modality name -> channels of its continuous inputs.

    Raises:
        ValueError: choices that contradict each other, both quoted.
    """

    width: int = 256
    depth: int = 6
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    ffn: FeedForwardConfig = field(default_factory=FeedForwardConfig)
    norm: NormConfig = field(default_factory=NormConfig)
    positions: PositionConfig = field(default_factory=PositionConfig)
    residual: ResidualConfig = field(default_factory=ResidualConfig)
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    init_std: float = 0.02
    max_length: int | None = None
    input_widths: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        for name, part in _PARTS.items():
            if not isinstance(getattr(self, name), part):
                raise ValueError(
                    f"{name}={getattr(self, name)!r}, expected {part.__name__}; TransformerConfig.from_dict reads "
                    "dictionaries"
                )
        if not all(type(channels) is int for channels in self.input_widths.values()):
            raise ValueError(f"input_widths={dict(self.input_widths)}, expected whole numbers of channels")
        if not are_positive(self.init_std):
            raise ValueError(f"init_std={self.init_std}, expected above 0")
        if not are_positive(self.width, self.depth, self.max_length, *self.input_widths.values()):
            raise ValueError(
                f"width={self.width}, depth={self.depth}, max_length={self.max_length}, input_widths="
                f"{dict(self.input_widths)}: all must be at least 1"
            )
        if not self.embedding.has_codes_beside_inputs and not self.input_widths:
            raise ValueError(
                f"has_codes_beside_inputs={self.embedding.has_codes_beside_inputs} with input_widths="
                f"{dict(self.input_widths)}: no modality has inputs to stand in the place of its codes"
            )
        self._check_heads()
        self._check_blocks()
        self._check_lengths()
        self._check_decoder()
        if self.positions.conv_kernel is not None and self.width % self.positions.conv_groups:
            raise ValueError(
                f"width={self.width} over conv_groups={self.positions.conv_groups}: expected a divisor of the width"
            )

    def _check_heads(self) -> None:
        heads = self.attention.num_heads
        if self.attention.head_width is None and self.width % heads:
            raise ValueError(
                f"width={self.width} over num_heads={heads} gives {self.width / heads:g} channels a head; it must be a "
                "whole even number, or give head_width"
            )
        if self.positions.rotary is not None and self.head_width % 2:
            raise ValueError(
                f"{self.head_width} channels a head (width={self.width}, num_heads={heads}, head_width="
                f"{self.attention.head_width}) with rotary={self.positions.rotary}: it must be a whole even number"
            )

    def _check_blocks(self) -> None:
        if self.residual.is_parallel and (self.norm.placement != "pre" or self.norm.is_first_skipped):
            raise ValueError(
                f"is_parallel={self.residual.is_parallel} with placement={self.norm.placement!r}, is_first_skipped="
                f"{self.norm.is_first_skipped}: parallel branches read one norm before them"
            )
        if self.positions.local_base is not None and self.attention.window is None:
            raise ValueError(
                f"local_base={self.positions.local_base} with window={self.attention.window}: only layers with a "
                "window use it"
            )

    def _check_lengths(self) -> None:
        bound, window = self.positions.max_rows, self.attention.window
        if self.max_length is not None and bound is not None and self.max_length > bound:
            raise ValueError(
                f"max_length={self.max_length} with a position table of size={self.positions.size}, offset="
                f"{self.positions.offset}: it places {bound} rows"
            )
        if window is not None and self.longest is not None and window > self.longest:
            raise ValueError(
                f"window={window} with samples of at most {self.longest} rows (max_length={self.max_length}, size="
                f"{self.positions.size}): take window=None"
            )

    def _check_decoder(self) -> None:
        if self.decoder is None:
            return
        places = self.positions
        if places.conv_kernel is not None and (places.rotary, places.learned, places.bias) == (
            None,
            None,
            None,
        ):
            raise ValueError(
                f"head.decoder={self.head.decoder} with conv_kernel={places.conv_kernel} as the only positions: rows "
                "that the encoder does not see would have none; add rotary or learned positions, or a bias"
            )

    @property
    def decoder(self) -> TransformerConfig | None:
        """The light decoder as a stack of its own, global attention in every layer; None where there is none."""
        options = self.head.decoder
        if options is None:
            return None
        width = options.width or self.width
        attention = replace(
            self.attention,
            num_heads=options.num_heads or self.attention.num_heads,
            num_kv_heads=self.attention.num_kv_heads if options.num_heads is None else None,
            head_width=self.attention.head_width
            if width == self.width and options.num_heads is None
            else None,
            window=None,
            global_every=None,
        )
        return replace(
            self,
            width=width,
            depth=options.depth,
            attention=attention,
            ffn=replace(self.ffn, width=options.ffn_width or max(1, self.ffn.width * width // self.width)),
            norm=replace(self.norm, is_first_skipped=False, has_embedding_norm=False),
            positions=replace(self.positions, local_base=None, conv_kernel=None, conv_groups=1),
            residual=replace(self.residual, drop_path=0.0, has_depth_average=False),
            head=HeadConfig(),
        )

    @property
    def head_width(self) -> int:
        """K."""
        return self.attention.width_of_head(self.width)

    @property
    def longest(self) -> int | None:
        """Most rows of one sample, by `max_length` or the table of positions; None = no bound."""
        return self.positions.max_rows if self.max_length is None else self.max_length

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TransformerConfig:
        """Inverse of `to_dict`; also reads the flat fields of the first format.

        Raises:
            ValueError: a field this version does not know, or a part that is no mapping of fields.
        """
        _check_mapping(data, "transformer config")
        given = from_flat_fields(data)
        _check_fields(given, cls, "transformer config")
        _check_mapping(given.get("input_widths", {}), "transformer config, input_widths:")
        for name, part in _PARTS.items():
            if name in given:
                given[name] = _read_part(part, given[name], f"transformer config, {name}:")
        return cls(**given)


def _read_part(part: type, data: Any, what: str) -> Any:
    _check_mapping(data, what)
    _check_fields(data, part, what)
    values = dict(data)
    if values.get("decoder") is not None:
        values["decoder"] = _read_part(DecoderConfig, values["decoder"], f"{what} decoder:")
    return part(**values)


def _check_mapping(data: Any, what: str) -> None:
    if not isinstance(data, Mapping):
        raise ValueError(f"{what} {data!r}, expected a mapping from names of fields to values")


def _check_fields(data: Mapping[str, Any], cls: type, what: str) -> None:
    unknown = sorted(set(data) - {f.name for f in fields(cls)})
    if unknown:
        raise ValueError(f"{what} has unknown fields {unknown}; it may come from another version")
