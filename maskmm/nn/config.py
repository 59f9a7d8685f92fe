"""The parts of a transformer that can be chosen, one frozen dataclass each; defaults are the house's own encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Literal, get_args

NormKind = Literal["rms", "layer"]
Placement = Literal["pre", "post", "deepnorm"]
QkvBias = Literal["none", "all", "qv"]
FeedForwardKind = Literal["swiglu", "geglu", "geglu_tanh", "reglu", "gelu", "gelu_tanh", "silu", "relu"]
PositionSource = Literal["segment", "sample"]
Pairing = Literal["interleaved", "halves"]
LearnedPositions = Literal["axial", "absolute"]
BiasKind = Literal["alibi", "bucketed", "gated_bucketed", "table_2d"]
HeadKind = Literal["linear", "dense"]

_TYPES: dict[str, type] = {"int": Integral, "float": Real, "bool": bool}


def check_choice(name: str, value: object, choices: object) -> None:
    """Raise ValueError unless `value` is one of a Literal's."""
    if value not in get_args(choices):
        raise ValueError(f"{name}={value!r}, expected one of {get_args(choices)}")


def check_share(name: str, value: float) -> None:
    """Raise ValueError unless 0 <= value < 1."""
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{name}={value}, expected 0 <= {name} < 1")


def check_types(part: Any) -> None:
    """Raise ValueError where a number or a flag of a dataclass has another type than its field; None where it may."""
    for field in fields(part):
        (kind, *others), value = field.type.split(" | "), getattr(part, field.name)
        if kind not in _TYPES or (others and value is None):
            continue
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise ValueError(f"{field.name}={value!r}, expected {field.type}")


def are_positive(*values: float | None) -> bool:
    """True where every value that is given is above 0 and finite."""
    return all(value is None or 0 < value < math.inf for value in values)


@dataclass(frozen=True)
class NormConfig:
    """Norms and where they stand.

    Args:
        kind: "rms" (Zhang and Sennrich, 2019) or "layer" (Ba et al., 2016).
        placement: "pre": x + branch(norm(x)); "post": norm(x + branch(x)); "deepnorm": norm(alpha x + branch(x))
            with alpha = (2 depth)^(1/4) and smaller initial weights (Wang et al., "DeepNet", 2022).
        eps: epsilon of every norm.
        has_bias: LayerNorms have a bias.
        is_first_skipped: no norm before the first attention (ModernBERT, whose embedding is normed already).
        has_final: norm after the last block.
        has_embedding_norm: norm of the embedding.

    Raises:
        ValueError: choices that contradict each other, both quoted.
    """

    kind: NormKind = "rms"
    placement: Placement = "pre"
    eps: float = 1e-6
    has_bias: bool = False
    is_first_skipped: bool = False
    has_final: bool = True
    has_embedding_norm: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("kind", self.kind, NormKind)
        check_choice("placement", self.placement, Placement)
        if not are_positive(self.eps):
            raise ValueError(f"eps={self.eps}, expected above 0")
        if self.has_bias and self.kind == "rms":
            raise ValueError(f"has_bias={self.has_bias} with kind={self.kind!r}: RMS norms have no bias")
        if self.is_first_skipped and self.placement != "pre":
            raise ValueError(
                f"is_first_skipped={self.is_first_skipped} with placement={self.placement!r}: only pre-norm blocks "
                "have a norm before the attention"
            )


@dataclass(frozen=True)
class AttentionConfig:
    """Attention of every block.

    Args:
        num_heads: H.
        num_kv_heads: G heads of keys and values, a divisor of H (grouped queries, Ainslie et al., 2023); None = H.
        head_width: K; None = width / H.
        qk_norm: norm of each head's queries and keys (Dehghani et al., 2023), or None.
        qkv_bias: "none", "all", or "qv" (no bias on keys: BEiT).
        has_out_bias: the output projection has a bias.
        window: rows that a local layer sees to each side; None = every layer is global.
        global_every: layers 0, k, 2k, ... are global and the others local; None = every layer has the window.

    Raises:
        ValueError: choices that contradict each other, both quoted.
    """

    num_heads: int = 4
    num_kv_heads: int | None = None
    head_width: int | None = None
    qk_norm: NormKind | None = None
    qkv_bias: QkvBias = "none"
    has_out_bias: bool = False
    window: int | None = None
    global_every: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("qkv_bias", self.qkv_bias, QkvBias)
        if self.qk_norm is not None:
            check_choice("qk_norm", self.qk_norm, NormKind)
        is_counted = are_positive(self.num_heads, self.num_kv_heads, self.head_width)
        if not is_counted or self.num_heads % self.kv_heads:
            raise ValueError(
                f"num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}, head_width={self.head_width}: all "
                "must be at least 1, and num_heads a multiple of num_kv_heads"
            )
        if not are_positive(self.window):
            raise ValueError(f"window={self.window}, expected None or at least 1")
        if self.global_every is not None and (self.global_every < 2 or self.window is None):
            raise ValueError(
                f"global_every={self.global_every} with window={self.window}: at least 2 with a window; without one "
                "every layer is global"
            )

    @property
    def kv_heads(self) -> int:
        """G."""
        return self.num_heads if self.num_kv_heads is None else self.num_kv_heads

    def width_of_head(self, width: int) -> int:
        """K for a model of this width."""
        return width // self.num_heads if self.head_width is None else self.head_width

    def window_of(self, layer: int) -> int | None:
        """Window of a layer (0-based)."""
        is_global = self.global_every is not None and layer % self.global_every == 0
        return None if is_global else self.window


@dataclass(frozen=True)
class FeedForwardConfig:
    """Feed-forward of every block.

    Args:
        width: hidden width; a gated kind has two projections of this width.
        kind: activation; "swiglu", "geglu", "geglu_tanh" and "reglu" are gated (Shazeer, 2020).
        has_bias: both projections have biases.

    Raises:
        ValueError: an unknown kind, or a width below 1.
    """

    width: int = 688
    kind: FeedForwardKind = "swiglu"
    has_bias: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("kind", self.kind, FeedForwardKind)
        if self.width < 1:
            raise ValueError(f"ffn width={self.width}, expected at least 1")


@dataclass(frozen=True)
class PositionConfig:
    """How rows know where they are; several ways may go together.

    Args:
        source: "segment" counts along the N axes of a row's segment; "sample" counts a sample's rows from 0, [CLS]
            included, as imported text encoders do.
        rotary: base of the rotary wavelengths, in tokens; None = no rotary positions.
        local_base: base in layers with a window; None = `rotary`.
        pairing: which channels of a head turn together: neighbours, or c and c + K / 2.
        learned: "axial" (a vector for each coordinate of each modality), "absolute" (a table of `size` rows over the
            row number in the sample), or None.
        size: rows of the absolute table.
        offset: first row of the absolute table in use (RoBERTa: 2).
        bias: what is added to attention scores: "alibi" (Press et al., 2022), "bucketed" distances (Raffel et al.,
            T5, 2020), "gated_bucketed" (Chi et al., XLM-E, 2022; BEATs), "table_2d" (BEiT), or None.
        is_bias_shared: all layers share one table; False = one each.
        num_buckets, max_distance: of bucketed biases; distances from max_distance on share a bucket.
        conv_kernel: odd or even width of convolutional positions (wav2vec 2.0, BEATs), or None.
        conv_groups: groups of that convolution.

    Raises:
        ValueError: choices that contradict each other, both quoted.
    """

    source: PositionSource = "segment"
    rotary: float | None = 100.0
    local_base: float | None = None
    pairing: Pairing = "interleaved"
    learned: LearnedPositions | None = "axial"
    size: int | None = None
    offset: int = 0
    bias: BiasKind | None = None
    is_bias_shared: bool = True
    num_buckets: int = 32
    max_distance: int = 128
    conv_kernel: int | None = None
    conv_groups: int = 1

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("source", self.source, PositionSource)
        check_choice("pairing", self.pairing, Pairing)
        self._check_learned()
        if self.bias is not None:
            check_choice("bias", self.bias, BiasKind)
        if self.local_base is not None and self.rotary is None:
            raise ValueError(f"local_base={self.local_base} with rotary={self.rotary}: give both or none")
        if not are_positive(self.rotary, self.local_base):
            raise ValueError(
                f"rotary={self.rotary}, local_base={self.local_base}: bases must be above 0 and finite"
            )
        if not self.is_bias_shared and self.bias in (None, "alibi"):
            raise ValueError(
                f"is_bias_shared={self.is_bias_shared} with bias={self.bias!r}: no table to share"
            )
        if self.num_buckets < 4 or self.num_buckets % 4 or self.max_distance <= self.num_buckets // 4:
            raise ValueError(
                f"num_buckets={self.num_buckets}, max_distance={self.max_distance}: a multiple of 4, and more than a "
                "quarter of it"
            )
        if not are_positive(self.conv_kernel, self.conv_groups):
            raise ValueError(
                f"conv_kernel={self.conv_kernel}, conv_groups={self.conv_groups}: expected at least 1"
            )
        if self.conv_groups > 1 and self.conv_kernel is None:
            raise ValueError(
                f"conv_groups={self.conv_groups} with conv_kernel={self.conv_kernel}: no convolution has groups"
            )

    def _check_learned(self) -> None:
        if self.learned is not None:
            check_choice("learned", self.learned, LearnedPositions)
        if self.learned == "axial" and self.source != "segment":
            raise ValueError(
                f"learned={self.learned!r} with source={self.source!r}: axial positions go by coordinates in a segment"
            )
        if self.learned == "absolute" and self.source != "sample":
            raise ValueError(
                f"learned={self.learned!r} with source={self.source!r}: the table goes by row numbers in a sample"
            )
        if (self.learned == "absolute") != (self.size is not None):
            raise ValueError(
                f"learned={self.learned!r} with size={self.size}: a table of absolute positions has both"
            )
        if self.offset and self.size is None:
            raise ValueError(
                f"offset={self.offset} with size={self.size}: no table whose first rows are skipped"
            )
        if self.offset < 0 or (self.size is not None and self.size <= self.offset):
            raise ValueError(f"offset={self.offset} with size={self.size}: expected 0 <= offset < size")

    @property
    def max_rows(self) -> int | None:
        """Most rows of a sample that the absolute table can place; None = no bound."""
        return None if self.size is None else self.size - self.offset


@dataclass(frozen=True)
class ResidualConfig:
    """What happens to the output of each branch, and how blocks follow each other.

    Args:
        layer_scale: initial gain of each branch's channels (Touvron et al., CaiT, 2021), or None.
        drop_path: probability that the last block's branches are left out of a sample in training; earlier blocks have
            proportionally less, the first none (Huang et al., "Stochastic depth", 2016).
        dropout: on the output of each branch.
        is_parallel: attention and feed-forward read one norm and are added together (GPT-J, ViT-22B).
        has_depth_average: each block reads a learned weighted sum of all outputs before it (Pagliardini et al.,
            "DenseFormer: depth-weighted averaging", 2024).
        has_half_stream: under autocast, the sums between layers are kept in its half precision, as ModernBERT's are,
            instead of float32: half of their memory and traffic.

    Raises:
        ValueError: a probability outside [0, 1).
    """

    layer_scale: float | None = None
    drop_path: float = 0.0
    dropout: float = 0.0
    is_parallel: bool = False
    has_depth_average: bool = False
    has_half_stream: bool = False

    def __post_init__(self) -> None:
        check_types(self)
        check_share("drop_path", self.drop_path)
        check_share("dropout", self.dropout)


@dataclass(frozen=True)
class EmbeddingConfig:
    """What a row's embedding is the sum of, beside its codes and positions.

    Args:
        has_modality: a vector for each modality.
        num_repeats: vectors that tell the segments of one modality in a sample apart (token types); 0 = none.
        dropout: on the embedding.
        input_hidden: continuous inputs pass Linear (no bias), LayerNorm and Linear, with this width between (BEATs);
            None = one Linear.
        has_codes_beside_inputs: a row shows its codes beside its continuous input; False = inputs stand in the place of
            codes (BEiT, BEATs), in training, as a condition and for features alike.

    Raises:
        ValueError: a value out of range.
    """

    has_modality: bool = True
    num_repeats: int = 8
    dropout: float = 0.0
    input_hidden: int | None = None
    has_codes_beside_inputs: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        check_share("dropout", self.dropout)
        if self.num_repeats < 0 or not are_positive(self.input_hidden):
            raise ValueError(
                f"num_repeats={self.num_repeats} (at least 0), input_hidden={self.input_hidden} (None or at least 1)"
            )


@dataclass(frozen=True)
class DecoderConfig:
    """Layers between encoder and head that put rows back which the encoder did not see; else as the encoder's.

    Args:
        depth: number of blocks.
        width: of its stream; None = the encoder's, without linear layers between the two.
        num_heads: None = the encoder's.
        ffn_width: None = the encoder's, in proportion to the width.

    Raises:
        ValueError: a number below 1.
    """

    depth: int = 2
    width: int | None = None
    num_heads: int | None = None
    ffn_width: int | None = None

    def __post_init__(self) -> None:
        check_types(self)
        if not are_positive(self.depth, self.width, self.num_heads, self.ffn_width):
            raise ValueError(
                f"decoder of depth={self.depth}, width={self.width}, num_heads={self.num_heads}, ffn_width="
                f"{self.ffn_width}: all must be at least 1"
            )


@dataclass(frozen=True)
class HeadConfig:
    """The head that turns features into logits.

    Args:
        kind: "linear", or "dense": a linear layer, an activation and a norm before it (BERT, ModernBERT).
        is_tied: the linear head is the table of code embeddings.
        has_bias: the linear head has a bias for each code.
        activation: of the dense layer, a kind of feed-forward that is not gated.
        has_dense_bias: the dense layer has a bias.
        decoder: the encoder sees visible rows alone, and a light decoder puts the masked ones back; None = the encoder
            sees masks too.

    Raises:
        ValueError: an unknown kind or activation.
    """

    kind: HeadKind = "linear"
    is_tied: bool = True
    has_bias: bool = True
    activation: FeedForwardKind = "gelu"
    has_dense_bias: bool = True
    decoder: DecoderConfig | None = None

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("kind", self.kind, HeadKind)
        check_choice("activation", self.activation, FeedForwardKind)
        if self.activation in ("swiglu", "geglu", "geglu_tanh", "reglu"):
            raise ValueError(f"activation={self.activation!r} is gated; the head's dense layer has no gate")
