"""Configurations of the family: impossible combinations, both values quoted; the flat fields of the first format."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    DecoderConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
)
from maskmm.nn.layout import AttentionLayout
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

TEXT = Modality("text", TokenSpec(7, 1, ("t",), max_length=20))


@pytest.mark.parametrize(
    ("part", "fields", "message"),
    [
        (NormConfig, {"kind": "batch"}, r"kind='batch', expected one of \('rms', 'layer'\)"),
        (NormConfig, {"placement": "sandwich"}, "placement='sandwich'"),
        (NormConfig, {"eps": 0.0}, "eps=0.0"),
        (NormConfig, {"has_bias": True}, "has_bias=True with kind='rms'"),
        (
            NormConfig,
            {"is_first_skipped": True, "placement": "post"},
            "is_first_skipped=True with placement='post'",
        ),
        (AttentionConfig, {"num_heads": 6, "num_kv_heads": 4}, "num_heads=6, num_kv_heads=4"),
        (AttentionConfig, {"num_heads": 0}, "num_heads=0"),
        (AttentionConfig, {"head_width": 0}, "head_width=0"),
        (AttentionConfig, {"num_kv_heads": 0}, "num_kv_heads=0"),
        (AttentionConfig, {"window": 0}, "window=0"),
        (AttentionConfig, {"global_every": 3}, "global_every=3 with window=None"),
        (AttentionConfig, {"global_every": 1, "window": 4}, "global_every=1 with window=4"),
        (AttentionConfig, {"qkv_bias": "k"}, "qkv_bias='k'"),
        (AttentionConfig, {"qk_norm": "batch"}, "qk_norm='batch'"),
        (FeedForwardConfig, {"kind": "mish"}, "kind='mish'"),
        (FeedForwardConfig, {"width": 0}, "ffn width=0"),
        (PositionConfig, {"source": "page"}, "source='page'"),
        (PositionConfig, {"source": "sample"}, "learned='axial' with source='sample'"),
        (PositionConfig, {"learned": "absolute", "size": 9}, "learned='absolute' with source='segment'"),
        (
            PositionConfig,
            {"source": "sample", "learned": "absolute"},
            "learned='absolute' with size=None",
        ),
        (PositionConfig, {"size": 9}, "learned='axial' with size=9"),
        (
            PositionConfig,
            {"source": "sample", "learned": "absolute", "size": 2, "offset": 2},
            "offset=2 with size=2",
        ),
        (PositionConfig, {"rotary": None, "local_base": 10.0}, "local_base=10.0 with rotary=None"),
        (PositionConfig, {"rotary": 0.0}, "rotary=0.0"),
        (PositionConfig, {"rotary": float("inf")}, "rotary=inf"),
        (PositionConfig, {"offset": 2}, "offset=2 with size=None"),
        (PositionConfig, {"conv_groups": 4}, "conv_groups=4 with conv_kernel=None"),
        (PositionConfig, {"max_distance": 128.5}, "max_distance=128.5, expected int"),
        (NormConfig, {"eps": float("nan")}, "eps=nan"),
        (AttentionConfig, {"num_heads": "4"}, "num_heads='4', expected int"),
        (AttentionConfig, {"window": 64.0}, r"window=64.0, expected int \| None"),
        (FeedForwardConfig, {"width": True}, "width=True, expected int"),
        (DecoderConfig, {"width": 2.5}, r"width=2.5, expected int \| None"),
        (EmbeddingConfig, {"num_repeats": None}, "num_repeats=None, expected int"),
        (HeadConfig, {"is_tied": "no"}, "is_tied='no', expected bool"),
        (ResidualConfig, {"dropout": "0.1"}, "dropout='0.1', expected float"),
        (PositionConfig, {"bias": "cosine"}, "bias='cosine'"),
        (
            PositionConfig,
            {"bias": "alibi", "is_bias_shared": False},
            "is_bias_shared=False with bias='alibi'",
        ),
        (PositionConfig, {"num_buckets": 6}, "num_buckets=6"),
        (PositionConfig, {"num_buckets": 32, "max_distance": 8}, "num_buckets=32, max_distance=8"),
        (PositionConfig, {"conv_kernel": 0}, "conv_kernel=0"),
        (PositionConfig, {"pairing": "quarters"}, "pairing='quarters'"),
        (ResidualConfig, {"drop_path": 1.0}, "drop_path=1.0, expected 0 <= drop_path < 1"),
        (ResidualConfig, {"dropout": -0.1}, "dropout=-0.1"),
        (EmbeddingConfig, {"num_repeats": -1}, "num_repeats=-1"),
        (EmbeddingConfig, {"input_hidden": 0}, "input_hidden=0"),
        (HeadConfig, {"kind": "deep"}, "kind='deep'"),
        (HeadConfig, {"activation": "swiglu"}, "activation='swiglu' is gated"),
    ],
)
def test_parts_that_contradict_themselves(part: Any, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        part(**fields)


ABSOLUTE = PositionConfig("sample", learned="absolute", size=10, offset=2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_widths": {"image": 0}}, r"input_widths=\{'image': 0\}"),
        ({"input_widths": {"image": 2.5}}, r"input_widths=\{'image': 2.5\}, expected whole numbers"),
        ({"width": "256"}, "width='256', expected int"),
        ({"attention": {"num_heads": 6}}, r"attention=\{'num_heads': 6\}, expected AttentionConfig"),
        (
            {"embedding": EmbeddingConfig(has_codes_beside_inputs=False)},
            r"has_codes_beside_inputs=False with input_widths=\{\}",
        ),
        ({"init_std": 0.0}, "init_std=0.0, expected above 0"),
        ({"max_length": 0}, "max_length=0"),
        ({"attention": AttentionConfig(head_width=3)}, "head_width=3.* with rotary=100.0"),
        (
            {"residual": ResidualConfig(is_parallel=True), "norm": NormConfig(placement="post")},
            "is_parallel=True with placement='post'",
        ),
        (
            {"residual": ResidualConfig(is_parallel=True), "norm": NormConfig(is_first_skipped=True)},
            "is_parallel=True with placement='pre', is_first_skipped=True",
        ),
        ({"positions": PositionConfig(local_base=10.0)}, "local_base=10.0 with window=None"),
        ({"positions": PositionConfig(conv_kernel=3, conv_groups=3)}, "width=256 over conv_groups=3"),
        ({"max_length": 9, "positions": ABSOLUTE}, "max_length=9 with a position table of size=10, offset=2"),
        (
            {"max_length": 6, "attention": AttentionConfig(window=8)},
            "window=8 with samples of at most 6 rows",
        ),
        (
            {"positions": ABSOLUTE, "attention": AttentionConfig(window=9)},
            "window=9 with samples of at most 8 rows",
        ),
    ],
)
def test_parts_that_contradict_each_other(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**fields)


def test_heads_of_odd_width_do_without_rotary_positions() -> None:
    config = TransformerConfig(attention=AttentionConfig(head_width=3), positions=PositionConfig(rotary=None))
    assert config.attention.width_of_head(config.width) == 3 and config.positions.rotary is None


def test_flat_fields_of_the_first_format() -> None:
    flat = {
        "width": 16, "depth": 2, "num_heads": 1, "ffn_width": 24, "qk_norm": True, "rotary_base": 50.0,
        "has_learned_positions": False, "dropout": 0.1, "norm_eps": 1e-5, "init_std": 0.4, "max_length": None,
        "input_widths": {},
    }  # fmt: skip
    assert TransformerConfig.from_dict(flat) == TransformerConfig(
        width=16,
        depth=2,
        attention=AttentionConfig(num_heads=1, qk_norm="rms"),
        ffn=FeedForwardConfig(width=24),
        norm=NormConfig(eps=1e-5),
        positions=PositionConfig(rotary=50.0, learned=None),
        residual=ResidualConfig(dropout=0.1),
        init_std=0.4,
    )
    with pytest.raises(ValueError, match=r"unknown fields \['heads'\]"):
        TransformerConfig.from_dict(flat | {"heads": 3})
    with pytest.raises(ValueError, match=r"attention: has unknown fields \['heads'\]"):
        TransformerConfig.from_dict({"attention": {"heads": 3}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "transformer config 3, expected a mapping"),
        ({"attention": None}, "transformer config, attention: None, expected a mapping"),
        ({"head": {"decoder": 2}}, "transformer config, head: decoder: 2, expected a mapping"),
        ({"input_widths": None}, "transformer config, input_widths: None, expected a mapping"),
    ],
)
def test_parts_that_are_no_mappings(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig.from_dict(data)


def test_a_sample_longer_than_the_position_table() -> None:
    vocabulary = Vocabulary([TEXT])
    model = MaskedTransformer(vocabulary, TransformerConfig(width=8, depth=1, positions=ABSOLUTE))

    def features(length: int) -> torch.Tensor:
        codes = torch.zeros(length, 1, dtype=torch.int64)
        return model(pack(TokenBatch.from_samples([{"text": codes}], [TEXT]), vocabulary))

    assert features(7).shape == (8, 8)
    with pytest.raises(
        ValueError, match=r"a sample has 9 rows, expected at most 8 \(max_length .* position table"
    ):
        features(8)
    sequence = pack(TokenBatch.from_samples([{"text": torch.zeros(8, 1).long()}], [TEXT]), vocabulary)
    with pytest.raises(ValueError, match="9 rows, but the table of size=10, offset=2 places 8"):
        model(sequence, AttentionLayout.build(sequence.cu_seqlens))  # a layout of one's own has no bound


def test_a_coordinate_beyond_the_position_table() -> None:
    """Its row would be the first of the next modality's."""
    longer = Modality("text", TokenSpec(7, 1, ("t",), max_length=30))
    label = Modality("label", TokenSpec(3, 1, ("t",), max_length=20))
    vocabulary = Vocabulary([TEXT, label])
    config = TransformerConfig(width=8, depth=1)
    model = MaskedTransformer(vocabulary, config)

    def rows(length: int) -> TokenSequence:
        sample = {"text": torch.zeros(length, 1, dtype=torch.int64)}
        return pack(TokenBatch.from_samples([sample], [longer]), vocabulary)

    assert model(rows(20)).shape == (21, 8)
    with pytest.raises(
        ValueError, match="'text' has coordinate 20 on axis 't', but the table of positions has 20"
    ):
        model(rows(21))
    bare = MaskedTransformer(vocabulary, replace(config, positions=PositionConfig(learned=None)))
    assert bare(rows(21)).shape == (22, 8)  # rotary positions have no end


def test_vocabularies_that_do_not_fit() -> None:
    vocabulary = Vocabulary([TEXT])
    with pytest.raises(ValueError, match="bias='table_2d' with modalities .*'text'"):
        MaskedTransformer(vocabulary, TransformerConfig(positions=PositionConfig(bias="table_2d")))
    with pytest.raises(ValueError, match=r"input_widths for \['image'\]"):
        MaskedTransformer(vocabulary, TransformerConfig(input_widths={"image": 3}))
    alike = Vocabulary([Modality(name, TEXT.spec) for name in ("a.b", "a_b", "values", "training")])
    for widths in ({"a.b": 3, "a_b": 4}, {"values": 3}, {"training": 3}):
        with pytest.raises(ValueError, match="rename the modalities"):
            MaskedTransformer(alike, TransformerConfig(input_widths=widths))
    MaskedTransformer(alike, TransformerConfig(input_widths={"a.b": 3}))


def test_the_published_encoders_of_the_documentation_are_values_of_the_family() -> None:
    text = (Path(__file__).parents[3] / "docs" / "transformer.md").read_text()
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found.group(1), names)  # noqa: S102
    configs = [value for value in names.values() if isinstance(value, TransformerConfig)]
    assert len(configs) == 3
    assert all(TransformerConfig.from_dict(value.to_dict()) == value for value in configs)
