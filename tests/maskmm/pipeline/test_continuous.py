"""Continuous inputs through the front doors: frozen vectors as conditions and as features, saved and loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import maskmm
from maskmm.checkpoint import save_checkpoint
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, EmbeddingConfig, FeedForwardConfig
from maskmm.pipeline import Pipeline
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.contract import Modality, TokenBatch
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.image_patches import ImagePatches
from tokenizers_vq.vectors import FrozenVectors
from tokenizers_vq.with_inputs import TokenizerWithInputs

SENTENCES = [torch.randn(2, 5, generator=torch.Generator().manual_seed(i)) for i in range(3)]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    torch.manual_seed(0)
    tokenizers = {
        "sentence": FrozenVectors(5, max_length=4),
        "image": ImageVQ(image_size=16, width=8, num_blocks=1, codebook_size=16, code_dim=4).eval(),
    }
    modalities = with_length_modalities([Modality(name, t.spec) for name, t in tokenizers.items()])
    config = TransformerConfig(
        width=16, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=16), init_std=0.4,
        input_widths={"sentence": 5},
    )  # fmt: skip
    return Pipeline(MaskedTransformer(Vocabulary(modalities), config).eval(), tokenizers)


def test_vectors_are_conditions(pipeline: Pipeline) -> None:
    settings = {"num_steps": 2, "temperature": 0.0, "noise_temperature": 0.0, "seed": 1}
    images = pipeline.generate({"sentence": SENTENCES}, ["image"], **settings)
    assert images["image"].shape == (3, 1, 16, 16)
    others = pipeline.generate({"sentence": [x + 3 for x in SENTENCES]}, ["image"], **settings)
    assert not torch.equal(images.codes["image"], others.codes["image"])
    guided = pipeline.generate({"sentence": SENTENCES}, ["image"], guidance_scale=3.0, **settings)
    assert guided.codes["image"].shape == images.codes["image"].shape
    assert pipeline.generate({}, ["image"], num_samples=2, **settings)["image"].shape == (2, 1, 16, 16)


def test_vectors_have_features_and_survive_a_folder(pipeline: Pipeline, tmp_path: Path) -> None:
    features = pipeline.extract_features({"sentence": SENTENCES}, pool="tokens")["sentence"]
    assert [x.shape for x in features] == [(2, 16)] * 3
    save_checkpoint(tmp_path / "model", pipeline.model, pipeline.tokenizers)
    again = maskmm.load(tmp_path / "model").extract_features({"sentence": SENTENCES}, pool="tokens")[
        "sentence"
    ]
    assert all(torch.equal(a, b) for a, b in zip(features, again))


def test_vectors_cannot_be_asked_for(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match=r"targets \['sentence'\] have continuous inputs and no codes"):
        pipeline.generate({"image": torch.rand(1, 1, 16, 16)}, ["sentence"], num_steps=2)


@pytest.mark.parametrize("has_codes", [True, False], ids=["beside codes", "instead of codes"])
def test_patches_of_images_that_have_codes(has_codes: bool, tmp_path: Path) -> None:
    codes = ImageVQ(image_size=16, width=8, num_blocks=1, codebook_size=16, code_dim=4).eval()
    tokenizer = TokenizerWithInputs(codes, ImagePatches((16, 16), 4, (0.5,), (0.5,)))
    config = TransformerConfig(
        width=16, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=16), init_std=0.4,
        input_widths={"image": 16}, embedding=EmbeddingConfig(has_codes_beside_inputs=has_codes),
    )  # fmt: skip
    torch.manual_seed(0)
    model = MaskedTransformer(Vocabulary([Modality("image", tokenizer.spec)]), config).eval()
    save_checkpoint(tmp_path / "model", model, {"image": tokenizer})
    pipeline = maskmm.load(tmp_path / "model")
    images = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    features = pipeline.extract_features({"image": images}, pool="tokens")["image"]

    batch = TokenBatch.from_samples([{"image": c} for c in codes.encode(images)], model.vocabulary.modalities)
    batch = replace(batch, inputs={"image": tokenizer.inputs(images)}, codes=batch.codes if has_codes else {})
    sequence = pack(batch, model.vocabulary)
    wanted = model(sequence)[sequence.modality == 1].detach()
    torch.testing.assert_close(torch.cat([x.flatten(0, -2) for x in features]), wanted)
    assert pipeline.generate({}, ["image"], num_samples=1, num_steps=2)["image"].shape == (1, 1, 16, 16)


def test_a_model_without_their_projection() -> None:
    vectors = FrozenVectors(5)
    vocabulary = Vocabulary([Modality("clip", vectors.spec)])
    config = TransformerConfig(width=16, depth=1)
    plain = Pipeline(MaskedTransformer(vocabulary, config).eval(), {"clip": vectors})
    with pytest.raises(
        ValueError, match="the tokenizer of 'clip' has no codes, and the model no inputs for it"
    ):
        plain.extract_features({"clip": torch.ones(2, 5)})
