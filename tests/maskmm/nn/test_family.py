"""Every part of the family, and parts together, against the twin written pair by pair: all layers and all gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

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
from maskmm.sequence import TokenSequence, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tests.reference.naive_encoder import activation, naive_layers, norm
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

IMAGE = Modality("image", TokenSpec(5, 1, ("y", "x"), (2, 3)))
TEXT = Modality("text", TokenSpec(7, 1, ("t",), max_length=20))
VOCABULARY = Vocabulary([IMAGE, TEXT])
HEADS = AttentionConfig(num_heads=2)
PLAIN = TransformerConfig(width=12, depth=3, attention=HEADS, ffn=FeedForwardConfig(width=6), init_std=0.4)
NOWHERE = PositionConfig(learned=None, rotary=None)
BERT = TransformerConfig(
    width=12,
    depth=2,
    attention=AttentionConfig(num_heads=2, qkv_bias="all", has_out_bias=True),
    ffn=FeedForwardConfig(6, "gelu", has_bias=True),
    norm=NormConfig("layer", "post", 1e-12, has_bias=True, has_final=False, has_embedding_norm=True),
    positions=PositionConfig("sample", rotary=None, learned="absolute", size=40, offset=2),
    embedding=EmbeddingConfig(has_modality=False, num_repeats=2),
    head=HeadConfig("dense"),
    init_std=0.4,
)
MODERN_BERT = TransformerConfig(
    width=12,
    depth=4,
    attention=AttentionConfig(num_heads=2, window=2, global_every=3),
    ffn=FeedForwardConfig(6, "geglu"),
    norm=NormConfig("layer", eps=1e-5, is_first_skipped=True, has_embedding_norm=True),
    positions=PositionConfig("sample", rotary=1000.0, local_base=10.0, pairing="halves", learned=None),
    init_std=0.4,
)
BEIT = TransformerConfig(
    width=12,
    depth=2,
    attention=AttentionConfig(num_heads=2, qkv_bias="qv", has_out_bias=True),
    ffn=FeedForwardConfig(6, "gelu", has_bias=True),
    norm=NormConfig("layer", has_bias=True),
    positions=replace(NOWHERE, bias="table_2d", is_bias_shared=False),
    residual=ResidualConfig(layer_scale=0.1),
    head=HeadConfig(is_tied=False),
    init_std=0.4,
)
BEATS = TransformerConfig(
    width=12,
    depth=2,
    attention=AttentionConfig(num_heads=2, qkv_bias="all", has_out_bias=True),
    ffn=FeedForwardConfig(6, "gelu", has_bias=True),
    norm=NormConfig("layer", "deepnorm", has_bias=True, has_final=False, has_embedding_norm=True),
    positions=PositionConfig(
        "sample", rotary=None, learned=None, bias="gated_bucketed", num_buckets=8, max_distance=7, conv_kernel=4,
        conv_groups=3,
    ),
    init_std=0.4,
)  # fmt: skip
FAMILY = {
    "house": PLAIN,
    "bert": BERT,
    "modern_bert": MODERN_BERT,
    "beit": BEIT,
    "beats": BEATS,
    "layer norm": replace(PLAIN, norm=NormConfig("layer", has_bias=True)),
    "post norm": replace(PLAIN, norm=NormConfig(placement="post")),
    "deepnorm": replace(PLAIN, norm=NormConfig(placement="deepnorm")),
    "no final norm": replace(PLAIN, norm=NormConfig(has_final=False)),
    "grouped queries, wide heads": replace(
        PLAIN, attention=AttentionConfig(num_heads=4, num_kv_heads=2, head_width=6, qkv_bias="qv")
    ),
    "query-key rms": replace(PLAIN, attention=replace(HEADS, qk_norm="rms", num_kv_heads=1)),
    "query-key layer": replace(PLAIN, attention=replace(HEADS, qk_norm="layer", qkv_bias="all")),
    "window everywhere": replace(PLAIN, attention=replace(HEADS, window=2)),
    "window but every second": replace(PLAIN, attention=replace(HEADS, window=1, global_every=2)),
    "rotary halves, N axes": replace(PLAIN, positions=PositionConfig(pairing="halves", rotary=50.0)),
    "rotary in the sample": replace(PLAIN, positions=PositionConfig("sample", learned=None)),
    "alibi": replace(PLAIN, positions=replace(NOWHERE, bias="alibi")),
    "alibi in the sample, three heads": replace(
        PLAIN, attention=AttentionConfig(num_heads=3), positions=replace(NOWHERE, source="sample", bias="alibi")
    ),
    "buckets": replace(PLAIN, positions=replace(NOWHERE, bias="bucketed", num_buckets=8, max_distance=6)),
    "buckets of each layer": replace(
        PLAIN, positions=PositionConfig("sample", learned=None, bias="bucketed", is_bias_shared=False)
    ),
    "gated buckets, N axes": replace(PLAIN, positions=replace(NOWHERE, bias="gated_bucketed")),
    "table and window": replace(
        PLAIN, attention=replace(HEADS, window=3), positions=PositionConfig(bias="table_2d")
    ),
    "odd convolution": replace(PLAIN, positions=PositionConfig(conv_kernel=3, conv_groups=2)),
    "layer scale": replace(PLAIN, residual=ResidualConfig(layer_scale=0.3)),
    "parallel": replace(PLAIN, residual=ResidualConfig(is_parallel=True, layer_scale=0.5)),
    "depth average": replace(PLAIN, residual=ResidualConfig(has_depth_average=True)),
    "gelu": replace(PLAIN, ffn=FeedForwardConfig(6, "gelu", has_bias=True)),
    "gelu_tanh": replace(PLAIN, ffn=FeedForwardConfig(6, "gelu_tanh")),
    "relu": replace(PLAIN, ffn=FeedForwardConfig(6, "relu")),
    "silu": replace(PLAIN, ffn=FeedForwardConfig(6, "silu")),
    "reglu": replace(PLAIN, ffn=FeedForwardConfig(6, "reglu", has_bias=True)),
    "geglu_tanh": replace(PLAIN, ffn=FeedForwardConfig(6, "geglu_tanh")),
}  # fmt: skip


def build(config: TransformerConfig) -> MaskedTransformer:
    torch.manual_seed(0)
    model = MaskedTransformer(VOCABULARY, config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def batch() -> TokenSequence:
    generator = torch.Generator().manual_seed(1)

    def text(length: int) -> Tensor:
        return torch.randint(7, (length, 1), generator=generator)

    def image() -> Tensor:
        return torch.randint(5, (2, 3, 1), generator=generator)

    samples: list[dict[str, Any]] = [
        {"text": text(1), "image": [image(), image()]},
        {"text": text(1)},
        {},
        {"text": text(9)},
    ]
    return pack(TokenBatch.from_samples(samples, [IMAGE, TEXT]), VOCABULARY)


@pytest.mark.parametrize("name", FAMILY)
def test_all_layers_and_gradients_are_the_twin_s(name: str) -> None:
    model, sequence = build(FAMILY[name]), batch()
    depth = model.config.depth
    found = model.forward_intermediates(sequence, list(range(depth + 1)))
    wanted = naive_layers(model, sequence)
    # Rotary wavelengths are float32 numbers, whatever the dtype of the weights.
    tolerance = 1e-9 if model.rotary is None else 1e-5
    for layer in range(depth + 1):
        torch.testing.assert_close(found[layer], wanted[layer], atol=tolerance, rtol=tolerance)
    weight = torch.randn(found[-1].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    used = [p for n, p in model.named_parameters() if not n.startswith(("head_", "embedding.inputs"))]
    got = torch.autograd.grad((found[-1] * weight).sum(), used)
    want = torch.autograd.grad((wanted[-1] * weight).sum(), used)
    for one, other in zip(got, want):
        torch.testing.assert_close(one, other, atol=10 * tolerance, rtol=10 * tolerance)


@pytest.mark.parametrize("name", FAMILY)
def test_configs_survive_json_and_samples_stay_apart(name: str) -> None:
    config = FAMILY[name]
    assert TransformerConfig.from_dict(config.to_dict()) == config
    model, sequence = build(config), batch()
    together = model(sequence)
    for sample in (0, 1, 3):
        alone = model(take_samples(sequence, torch.tensor([sample])))
        torch.testing.assert_close(alone, together[sequence.sample == sample], atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("kind", ["linear", "dense"])
def test_heads(kind: Any, has_bias: bool, is_tied: bool) -> None:
    options = HeadConfig(kind, is_tied, has_bias, activation="gelu", has_dense_bias=has_bias)
    model = build(replace(PLAIN, head=options))
    features = torch.randn(4, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x = features
    if kind == "dense":
        x = x @ model.get_parameter("head_transform.dense.weight").T
        if has_bias:
            x = x + model.get_parameter("head_transform.dense.bias")
        x = norm(model, "head_transform.norm", activation("gelu", x))
    table = model.embedding.codes.weight if is_tied else model.get_parameter("head_weight")
    ids = VOCABULARY.slice("text", 0)
    wanted = x @ table[ids].T + (model.get_parameter("head_bias")[ids] if has_bias else 0.0)
    torch.testing.assert_close(model.logits(features, "text", 0), wanted)
    torch.testing.assert_close(model.logits_of([(features, "text", 0)])[0], wanted)


def test_deepnorm_starts_its_branches_small() -> None:
    torch.manual_seed(0)
    config = replace(
        PLAIN, width=64, depth=4, ffn=FeedForwardConfig(64), norm=NormConfig(placement="deepnorm")
    )
    weight = MaskedTransformer(VOCABULARY, config).blocks[0].attention.qkv.weight.detach()
    xavier = (2 / (64 + 64)) ** 0.5
    assert float(weight[:128].std()) == pytest.approx(xavier, rel=0.05)
    assert float(weight[128:].std()) == pytest.approx(xavier * 32**-0.25, rel=0.05)


def test_a_new_depth_average_is_the_plain_model() -> None:
    torch.manual_seed(0)
    plain = MaskedTransformer(VOCABULARY, PLAIN).eval()
    torch.manual_seed(0)
    averaged = MaskedTransformer(
        VOCABULARY, replace(PLAIN, residual=ResidualConfig(has_depth_average=True))
    ).eval()
    assert torch.equal(plain(batch()), averaged(batch()))
