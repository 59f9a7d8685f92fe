"""Configurations of the family: impossible combinations, both values quoted; the flat fields of the first format."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    HeadConfig,
    NormConfig,
    PositionConfig,
    ResidualConfig,
)
from maskmm.sequence import pack
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
    TransformerConfig(attention=AttentionConfig(head_width=3), positions=PositionConfig(rotary=None))


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


def test_a_sample_longer_than_the_position_table() -> None:
    vocabulary = Vocabulary([TEXT])
    model = MaskedTransformer(vocabulary, TransformerConfig(width=8, depth=1, positions=ABSOLUTE))

    def features(length: int) -> torch.Tensor:
        codes = torch.zeros(length, 1, dtype=torch.int64)
        return model(pack(TokenBatch.from_samples([{"text": codes}], [TEXT]), vocabulary))

    assert features(7).shape == (8, 8)
    with pytest.raises(ValueError, match="a sample has 9 rows, expected at most 8"):
        features(8)


def test_vocabularies_that_do_not_fit() -> None:
    vocabulary = Vocabulary([TEXT])
    with pytest.raises(ValueError, match="bias='table_2d' with modalities .*'text'"):
        MaskedTransformer(vocabulary, TransformerConfig(positions=PositionConfig(bias="table_2d")))
    with pytest.raises(ValueError, match=r"input_widths for \['image'\]"):
        MaskedTransformer(vocabulary, TransformerConfig(input_widths={"image": 3}))


def test_the_published_encoders_of_the_documentation_are_values_of_the_family() -> None:
    text = (Path(__file__).parents[3] / "docs" / "transformer.md").read_text()
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found.group(1), names)  # noqa: S102
    configs = [value for value in names.values() if isinstance(value, TransformerConfig)]
    assert len(configs) == 3
    assert all(TransformerConfig.from_dict(value.to_dict()) == value for value in configs)
