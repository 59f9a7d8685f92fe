"""Features against the hidden states they are made of, and independent of what else is in a batch."""

from __future__ import annotations

import pytest
import torch

from maskmm.features import FeatureExtractor, join_features
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec


@pytest.fixture
def batch(toy_pipeline, toy_media) -> TokenBatch:
    codes = toy_pipeline.encode(toy_media)
    samples = [{name: codes[name][i] for name in ("text", "image", "speech")} for i in range(5)]
    return TokenBatch.from_samples(samples, toy_pipeline.vocabulary.modalities)


def naive(model, batch: TokenBatch, layer: int):
    """Per sample: name -> (n, D) rows of that modality, and the [CLS] row, one sample at a time."""
    modalities = model.vocabulary.modalities
    for sample in batch.samples(modalities):
        sequence = pack(TokenBatch.from_samples([sample], modalities), model.vocabulary)
        with torch.no_grad():
            x_ND = model.forward_intermediates(sequence, [layer])[0]
        rows = {name: x_ND[sequence.modality == model.vocabulary.index(name)] for name in sample}
        yield rows | {"joint": x_ND[1:], "cls": x_ND[0]}


@pytest.mark.parametrize("layer", [0, 1, -2, -1])
def test_mean_tokens_map_and_cls_are_the_hidden_states(toy_model, batch, layer) -> None:
    expected = list(naive(toy_model, batch, layer))
    mean = FeatureExtractor(toy_model, [layer], "mean")(batch)
    tokens = FeatureExtractor(toy_model, [layer], "tokens")(batch)
    maps = FeatureExtractor(toy_model, [layer], "map")(batch)
    cls = FeatureExtractor(toy_model, [layer], "cls")(batch)
    assert set(mean) == set(tokens) == {"text", "image", "speech", "joint"}
    assert set(maps) == {"text", "image", "speech"} and set(cls) == {"joint"}
    assert maps["image"].shape == (5, 4, 4, 32) and mean["image"].shape == (5, 32)
    for i, rows in enumerate(expected):
        for name in mean:
            torch.testing.assert_close(mean[name][i], rows[name].mean(0), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(tokens[name][i], rows[name], atol=1e-5, rtol=1e-4)
        for name in maps:
            torch.testing.assert_close(maps[name][i].flatten(0, -2), rows[name], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(cls["joint"][i], rows["cls"], atol=1e-5, rtol=1e-4)


def test_several_layers_lie_side_by_side(toy_model, batch) -> None:
    both = FeatureExtractor(toy_model, [0, -1])(batch)["image"]
    single = [FeatureExtractor(toy_model, [layer])(batch)["image"] for layer in (0, -1)]
    assert both.shape == (5, 64)
    assert torch.equal(both, torch.cat(single, dim=-1))


def test_modalities_given_together_see_each_other(toy_pipeline, toy_media) -> None:
    alone = toy_pipeline.extract_features({"image": toy_media["image"]})
    joint = toy_pipeline.extract_features({"image": toy_media["image"], "text": toy_media["text"]})
    assert set(alone) == {"image"}
    assert not torch.allclose(alone["image"], joint["image"], atol=1e-3)


def test_none_means_tokens_and_one_modality_has_its_own_cls(toy_pipeline, toy_media) -> None:
    text = {"text": toy_media["text"]}
    rows = toy_pipeline.extract_features(text, pool=None)["text"]
    assert [tuple(r.shape) for r in rows] == [(len(t), 32) for t in toy_media["text"]]
    assert toy_pipeline.extract_features(text, pool="cls")["text"].shape == (5, 32)


@pytest.mark.parametrize("pool", ["mean", "cls", "all", "tokens", "map"])
def test_a_sample_does_not_depend_on_its_batch(toy_pipeline, toy_media, pool) -> None:
    inputs = {"image": toy_media["image"], "speech": toy_media["speech"]}
    one_by_one = toy_pipeline.extract_features(inputs, pool=pool, batch_size=1)
    at_once = toy_pipeline.extract_features(inputs, pool=pool, batch_size=8)
    assert one_by_one.keys() == at_once.keys()
    for name in at_once:
        assert len(at_once[name]) == 5
        for a, b in zip(one_by_one[name], at_once[name]):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_all_rows_of_a_sample_count_in_pool_all(toy_pipeline, toy_media) -> None:
    text = {"text": toy_media["text"]}
    all_rows = toy_pipeline.extract_features(text, pool="all")["text"]
    cls = toy_pipeline.extract_features(text, pool="cls")["text"]
    tokens = toy_pipeline.extract_features(text, pool="tokens")["text"]
    for one, first, rest in zip(all_rows, cls, tokens):
        torch.testing.assert_close(one, torch.cat([first[None], rest]).mean(0))
    inputs = {"image": toy_media["image"], "text": toy_media["text"]}
    assert set(toy_pipeline.extract_features(inputs, pool="all")) == {"joint"}


def test_a_model_without_cls_rows_has_no_cls_features() -> None:
    vocabulary = Vocabulary([Modality("label", TokenSpec(3))], has_cls=False)
    model = MaskedTransformer(vocabulary, TransformerConfig(width=16, depth=1)).eval()
    with pytest.raises(ValueError, match=r"no \[CLS\] row"):
        FeatureExtractor(model, pool="cls")
    batch = TokenBatch.from_samples([{"label": torch.tensor([1])}], vocabulary.modalities)
    assert FeatureExtractor(model)(batch)["label"].shape == (1, 16)


def test_a_probe_can_be_trained_on_features(toy_pipeline, toy_media) -> None:
    features = toy_pipeline.extract_features({"image": toy_media["image"]})["image"]
    assert not features.requires_grad
    probe = torch.nn.Linear(32, 2)
    probe(features).sum().backward()
    assert probe.weight.grad is not None


def test_samples_of_different_modalities_are_refused(toy_model, toy_pipeline, toy_media) -> None:
    codes = toy_pipeline.encode({"image": toy_media["image"][:2], "text": toy_media["text"][:1]})
    samples = [{"image": codes["image"][0], "text": codes["text"][0]}, {"image": codes["image"][1]}]
    batch = TokenBatch.from_samples(samples, toy_model.vocabulary.modalities)
    with pytest.raises(ValueError, match=r"samples \[1\] have no 'text'"):
        FeatureExtractor(toy_model)(batch)
    empty = TokenBatch.from_samples([{}], toy_model.vocabulary.modalities)
    with pytest.raises(ValueError, match="no tokens"):
        FeatureExtractor(toy_model)(empty)


def test_maps_of_several_segments_are_refused(toy_model, toy_pipeline, toy_media) -> None:
    two = list(toy_pipeline.encode({"image": toy_media["image"][:2]})["image"])
    batch = TokenBatch.from_samples([{"image": two}], toy_model.vocabulary.modalities)
    assert FeatureExtractor(toy_model, pool="tokens")(batch)["image"][0].shape == (32, 32)
    with pytest.raises(ValueError, match="one segment"):
        FeatureExtractor(toy_model, pool="map")(batch)


@pytest.mark.parametrize(
    ("layers", "pool", "message"),
    [([], "mean", "layers"), (-1, "mean", "layers"), ([-1], "max", "pool='max'"), ([9], "mean", "layer 9")],
)
def test_bad_layers_and_pools(toy_pipeline, toy_media, layers, pool, message) -> None:
    with pytest.raises(ValueError, match=message):
        toy_pipeline.extract_features({"image": toy_media["image"]}, layers=layers, pool=pool)


def test_joined_features_keep_their_kind() -> None:
    parts = [
        {"a": torch.zeros(2, 3), "b": [torch.zeros(1, 3)]},
        {"a": torch.ones(1, 3), "b": [torch.ones(2, 3)]},
    ]
    joined = join_features(parts)
    assert joined["a"].shape == (3, 3) and [len(row) for row in joined["b"]] == [1, 2]
