"""The shared transformer: layers, tied heads, samples that do not see each other, and its errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, PositionConfig, ResidualConfig
from maskmm.sequence import TokenSequence, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, MODALITIES, VOCABULARY, full_batch
from tokenizers_vq.contract import TokenBatch

SMALL = TransformerConfig(
    width=16, depth=3, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=24), init_std=0.3
)


def build(config: TransformerConfig = SMALL) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(VOCABULARY, config).double().eval()


def sequence(num_samples: int = 4) -> TokenSequence:
    return pack(full_batch(num_samples), VOCABULARY)


def test_intermediates_are_the_layers_in_the_order_asked() -> None:
    model, packed = build(), sequence()
    outputs: list[Tensor] = []
    for block in model.blocks:
        block.register_forward_hook(lambda module, args, out: outputs.append(out))
    features = model(packed)
    expected = [model.embedding(packed), outputs[0], outputs[1], model.norm(outputs[2])]
    found = model.forward_intermediates(packed, [3, 0, -2, 1, -1, -4])
    for layer, x_ND in zip([3, 0, 2, 1, 3, 0], found):
        assert torch.equal(x_ND, expected[layer])
    assert torch.equal(features, expected[3]) and torch.equal(features, model.forward_features(packed))


def test_blocks_after_the_last_layer_asked_are_not_run() -> None:
    model = build()
    calls: list[int] = []
    for number, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda *_, number=number: calls.append(number))
    model.forward_intermediates(sequence(), [1, 0])
    assert calls == [1]
    assert model.forward_intermediates(sequence(), []) == []


@pytest.mark.parametrize("layer", [4, -5])
def test_layers_out_of_range(layer: int) -> None:
    with pytest.raises(ValueError, match=rf"layer {layer}, expected -4 to 3 \(0 = embedding\)"):
        build().forward_intermediates(sequence(), [layer])


def test_another_vocabulary_is_refused_and_an_equal_one_is_not() -> None:
    model = build()
    other = Vocabulary([IMAGE, AUDIO])
    batch = TokenBatch.from_samples([{"image": torch.zeros(3, 4, 1, dtype=torch.int64)}], [IMAGE, AUDIO])
    with pytest.raises(ValueError, match="another vocabulary.*pack it with model.vocabulary"):
        model(pack(batch, other))
    with pytest.raises(ValueError, match="another vocabulary"):
        model(pack(full_batch(1), Vocabulary(MODALITIES, num_mask_kinds=2)))
    equal = Vocabulary.from_dict(VOCABULARY.to_dict())
    assert torch.equal(model(pack(full_batch(2), equal)), model(sequence(2)))


def test_heads_are_slices_of_the_embedding_and_linear() -> None:
    model = build()
    torch.nn.init.normal_(model.head_bias)
    features = torch.randn(5, 16, dtype=torch.float64)
    for name, codebook in (("image", 0), ("audio", 0), ("audio", 1), ("text.length", 0)):
        ids = VOCABULARY.slice(name, codebook)
        expected = features @ model.embedding.codes.weight[ids].T + model.head_bias[ids]
        logits = model.logits(features, name, codebook)
        assert logits.shape == (5, VOCABULARY.spec(name).codebook_size)
        torch.testing.assert_close(logits, expected)
    with pytest.raises(ValueError, match="codebook 1 of 'image', expected 0 to 0"):
        model.logits(features, "image", 1)
    with pytest.raises(ValueError, match="modality 'video' is not in this model"):
        model.logits(features, "video", 0)


def test_a_head_moves_only_its_own_codes() -> None:
    model = build()
    model.logits(torch.randn(5, 16, dtype=torch.float64), "audio", 1).square().sum().backward()
    grad = model.embedding.codes.weight.grad
    assert grad is not None
    is_moved = grad.abs().sum(1) > 0
    assert is_moved.nonzero().flatten().tolist() == list(range(VOCABULARY.size))[VOCABULARY.slice("audio", 1)]


def test_features_of_a_sample_do_not_depend_on_its_batch() -> None:
    model, packed = build(), sequence(6)
    together = model(packed)
    shuffled = take_samples(packed, torch.tensor([3, 5, 0]))
    found = model(shuffled)
    for place, sample in enumerate([3, 5, 0]):
        rows = together[packed.sample == sample]
        torch.testing.assert_close(found[shuffled.sample == place], rows, rtol=0, atol=1e-12)
        alone = take_samples(packed, torch.tensor([sample]))
        torch.testing.assert_close(model(alone), rows, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": AttentionConfig(num_heads=2, qk_norm="rms")},
        {"positions": PositionConfig(learned=None)},
        {"residual": ResidualConfig(dropout=0.4)},
    ],
)
def test_options_change_the_function_and_keep_samples_apart(changes: dict[str, Any]) -> None:
    model, packed = build(replace(SMALL, **changes)), sequence(3)
    alone = take_samples(packed, torch.tensor([1]))
    torch.testing.assert_close(model(alone), model(packed)[packed.sample == 1], rtol=0, atol=1e-12)
    is_same = torch.allclose(model(packed), build()(packed))
    assert is_same == ("residual" in changes)
    model.train()
    assert torch.equal(model(packed), model(packed)) == ("residual" not in changes)


def test_every_row_sees_its_whole_sample_and_no_other() -> None:
    model, packed = build(), sequence(3)
    changed = replace(packed, ids=packed.ids.clone())
    row = int(((packed.sample == 1) & (packed.modality == VOCABULARY.index("image"))).nonzero()[3])
    start = VOCABULARY.slice("image", 0).start
    changed.ids[row, 0] = start + (packed.ids[row, 0] - start + 1) % 11
    is_moved = (model(packed) - model(changed)).abs().amax(1) > 1e-9
    assert torch.equal(is_moved, packed.sample == 1)


def test_samples_may_lack_modalities_or_everything() -> None:
    model = build()
    samples = [{"text": torch.zeros(2, 1, dtype=torch.int64)}, {}, {"label": torch.tensor([1])}]
    packed = pack(TokenBatch.from_samples(samples, MODALITIES), VOCABULARY)
    assert model(packed).shape == (3 + 2 + 1, 16) and bool(model(packed).isfinite().all())
    empty = pack(TokenBatch.from_samples([], MODALITIES), VOCABULARY)
    assert model(empty).shape == (0, 16)
    no_cls = pack(TokenBatch.from_samples(samples, MODALITIES), VOCABULARY, has_cls=False)
    assert model(no_cls).shape == (3, 16)


def test_continuous_inputs_are_read_and_learned_from() -> None:
    model = build(replace(SMALL, input_widths={"image": 5}))
    batch = full_batch(2)
    values = torch.randn(24, 5, dtype=torch.float64, requires_grad=True)
    packed = pack(replace(batch, inputs={"image": values}), VOCABULARY)
    model(packed).square().sum().backward()
    assert values.grad is not None and bool((values.grad.abs().sum(1) > 0).all())
    assert model.embedding.inputs["image"].weight.grad is not None
    model(pack(batch, VOCABULARY))


def test_initial_weights_follow_the_config_and_the_seed() -> None:
    first, second = build(), build()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))
    assert float(first.blocks[0].attention.qkv.weight.detach().std()) == pytest.approx(0.3, rel=0.1)
    assert float(first.blocks[0].ffn.down.weight.detach().std()) == pytest.approx(0.3 / 6**0.5, rel=0.15)
    assert not first.embedding.codes.weight[VOCABULARY.pad_id].any()


def test_padding_slots_stay_nothing_after_a_step() -> None:
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(sequence()).square().sum().backward()
    optimizer.step()
    assert not model.embedding.codes.weight[VOCABULARY.pad_id].any()


def test_a_sample_longer_than_the_bound_is_refused() -> None:
    packed = sequence(4)
    longest = int((packed.cu_seqlens[1:] - packed.cu_seqlens[:-1]).max())
    build(replace(SMALL, max_length=longest))(packed)
    with pytest.raises(ValueError, match=f"{longest} rows, expected at most {longest - 1}"):
        build(replace(SMALL, max_length=longest - 1))(packed)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"width": 30}, "width=30 over num_heads=4 gives 7.5 channels"),
        ({"width": 12}, "whole even number"),
        ({"depth": 0}, "depth=0"),
    ],
)
def test_shapes_that_contradict_themselves(bad: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransformerConfig(**bad)  # type: ignore[arg-type]


def test_config_survives_json() -> None:
    config = replace(SMALL, input_widths={"image": 5}, attention=AttentionConfig(num_heads=2, qk_norm="rms"))
    assert TransformerConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match=r"unknown fields \['heads'\]"):
        TransformerConfig.from_dict(config.to_dict() | {"heads": 3})


def test_logits_of_equals_logits_with_one_gradient_of_the_table() -> None:
    model = build()
    features = torch.randn(6, model.config.width, generator=torch.Generator().manual_seed(0)).to(
        model.norm.weight
    )
    questions = [(m.name, q) for m in model.vocabulary.modalities for q in range(m.spec.num_codebooks)]
    several = model.logits_of([(features, *question) for question in questions])
    alone = [model.logits(features, *question) for question in questions]
    for one, other in zip(several, alone):
        torch.testing.assert_close(one, other)
    table = model.embedding.codes.weight
    (got,) = torch.autograd.grad(sum((x**2).sum() for x in several), table)
    (want,) = torch.autograd.grad(sum((x**2).sum() for x in alone), table)
    torch.testing.assert_close(got, want)
