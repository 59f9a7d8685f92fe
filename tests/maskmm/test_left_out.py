"""Masked rows left out of the encoder and put back by a light decoder: against the twin, in training, in use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmm.checkpoint import save_checkpoint
from maskmm.compiling import check_compiles
from maskmm.decoding import IterativeDecoder
from maskmm.decoding.guidance import Guidance
from maskmm.features import FeatureExtractor
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence, masked_at
from maskmm.masking.continuous import InputsInsteadOfCodes
from maskmm.masking.left_out import LeaveOutMasked
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, DecoderConfig, FeedForwardConfig, HeadConfig, PositionConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.objectives.structure import Permuted
from maskmm.packing import Packer
from maskmm.pipeline import Pipeline, load
from maskmm.rows import AskedRows, EncodedRows, is_wholly_masked
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
from tests.maskmm.nn.test_family import FAMILY, batch, build
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, write_toy_data
from tests.reference.naive_left_out import naive_left_out
from tokenizers_vq.contract import Key, Modality, TokenBatch, Tokenizer, TokenSpec

KEY = Key(0)
TWINS = ["house", "bert", "modern_bert", "beit", "beats", "parallel", "depth average", "rotary in the sample"]
DECODERS = {"wide": DecoderConfig(depth=2), "narrow": DecoderConfig(1, width=16, num_heads=2, ffn_width=10)}
CONFIG = TransformerConfig(
    width=16,
    depth=2,
    attention=AttentionConfig(num_heads=2),
    ffn=FeedForwardConfig(width=16),
    head=HeadConfig(decoder=DecoderConfig(1)),
    init_std=0.3,
)


def hidden() -> TokenSequence:
    """Some masked rows in each sample, a whole image among them."""
    sequence = batch()
    is_masked = (Key(2).uniform(torch.arange(sequence.num_rows)) < 0.5) | (sequence.segment == 0)
    return sequence.hide((is_masked & (sequence.segment >= 0)).long()[:, None])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", TWINS)
def test_features_and_gradients_are_the_twin_s(name: str, decoder: str) -> None:
    family = FAMILY[name]
    model = build(replace(family, head=replace(family.head, decoder=DECODERS[decoder])))
    sequence = hidden()
    is_encoded = ~is_wholly_masked(sequence)
    assert 0 < int(is_encoded.sum()) < sequence.num_rows
    found, wanted = model.forward_features(sequence), naive_left_out(model, sequence, is_encoded)
    tolerance = 1e-9 if model.rotary is None else 1e-5
    torch.testing.assert_close(found, wanted, atol=tolerance, rtol=tolerance)

    is_asked = Key(3).uniform(torch.arange(sequence.num_rows)) < 0.4
    asked, encoded = AskedRows.of(sequence, is_asked), EncodedRows.of(sequence, is_encoded)
    answers = model.forward_asked(sequence, asked, encoded=encoded)
    torch.testing.assert_close(answers, found[is_asked], atol=1e-9, rtol=1e-9)

    weight = torch.randn(answers.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    used = [p for n, p in model.named_parameters() if not n.startswith(("head_", "embedding.inputs"))]
    got = torch.autograd.grad((answers * weight).sum(), used)
    want = torch.autograd.grad((wanted[is_asked] * weight).sum(), used)
    for one, other in zip(got, want):
        torch.testing.assert_close(one, other, atol=10 * tolerance, rtol=10 * tolerance)


def masked(num_samples: int = 6) -> MaskedSequence:
    return LeaveOutMasked(AnyToAnyMasking())(pack(full_batch(num_samples), VOCABULARY), KEY)


def test_the_masking_leaves_out_what_shows_nothing() -> None:
    plain, out = AnyToAnyMasking()(pack(full_batch(6), VOCABULARY), KEY), masked()
    assert torch.equal(plain.inputs.ids, out.inputs.ids) and torch.equal(plain.is_target, out.is_target)
    assert out.is_encoded is not None
    has_codebook = out.inputs.has_codebook()
    for row in range(out.inputs.num_rows):
        slots = out.mask_kind[row][has_codebook[row]]
        shows_nothing = len(slots) > 0 and bool((slots > 0).all())
        assert bool(out.is_encoded[row]) is not shows_nothing
    # audio has two codebooks: rows with one of them visible stay
    is_partly = (out.mask_kind > 0).any(dim=1) & out.is_encoded
    assert bool(is_partly.any())
    encoded = out.with_target_rows().encoded
    assert encoded is not None and torch.equal(encoded.index, out.is_encoded.nonzero().flatten())


def test_rows_of_continuous_inputs_are_left_out_where_they_are_masked() -> None:
    image = Modality("image", TokenSpec(5, 2, ("y", "x"), (2, 3)))
    sample = {"image": torch.arange(12).view(2, 3, 2) % 5}
    tokens = replace(TokenBatch.from_samples([sample], [image]), inputs={"image": torch.randn(6, 3)})
    masking = LeaveOutMasked(InputsInsteadOfCodes(AnyToAnyMasking()))
    out = masking(pack(tokens, Vocabulary([image])), Key(1))
    assert out.is_encoded is not None
    # one masked codebook replaces the row's input, so nothing of it is shown
    assert torch.equal(out.is_encoded, ~(out.mask_kind > 0).any(dim=1))


def build_model(config: TransformerConfig = CONFIG) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(VOCABULARY, config)


def test_the_encoder_never_learns_from_masks_and_the_loss_is_that_of_all_features() -> None:
    model, out = build_model().double(), masked().with_target_rows()
    parts = MaskedCrossEntropy()(model, out, KEY).parts
    features = model.forward_features(out.inputs)
    wanted = torch.zeros((), dtype=torch.float64)
    for target in out.target_rows:
        logits = model.logits(features[target.rows], target.name, target.codebook)
        wanted = wanted + torch.nn.functional.cross_entropy(logits.float(), target.codes, reduction="sum")
    found = torch.stack([total for total, _ in parts.values()]).sum()
    torch.testing.assert_close(found.double(), wanted.double(), rtol=1e-5, atol=1e-5)
    encoder_only = model.forward_intermediates(out.inputs.select_rows(~is_wholly_masked(out.inputs)), [-1])
    (gradient,) = torch.autograd.grad(encoder_only[0].square().sum(), [model.embedding.codes.weight])
    only_audio = out.inputs.select_rows(out.is_encoded).ids == VOCABULARY.mask_id()  # type: ignore[arg-type]
    assert bool(gradient[VOCABULARY.mask_id()].any()) == bool(only_audio.any())


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_masked(share: float) -> None:
    sequence = pack(full_batch(3), VOCABULARY, has_cls=False)
    is_masked = sequence.has_codebook() & (share > 0)
    out = masked_at(sequence, is_masked)
    out = replace(out, is_encoded=~is_wholly_masked(out.inputs)).with_target_rows()
    model = build_model()
    loss = torch.stack([s for s, _ in MaskedCrossEntropy()(model, out, KEY).parts.values()]).sum()
    loss.backward()
    assert bool(torch.isfinite(loss.detach())) and (float(loss.detach()) > 0) == (share > 0)


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_generation_fills_what_is_masked_whatever_else_is_in_the_batch(scale: float) -> None:
    model = build_model().eval()
    decoder = IterativeDecoder(num_steps=4, guidance=Guidance(scale))

    def decode(num_samples: int) -> torch.Tensor:
        sequence = pack(full_batch(num_samples), VOCABULARY)
        is_image = sequence.modality == VOCABULARY.index("image")
        out = decoder.decode(model, sequence, is_image[:, None] & sequence.has_codebook(), seed=1)
        assert not bool((out.ids == VOCABULARY.mask_id()).any())
        return out.ids[out.sample == 0]

    assert torch.equal(decode(1), decode(4))


def test_features_are_the_encoder_s() -> None:
    model, given = build_model().eval(), full_batch(3)
    found = FeatureExtractor(model, [-1], "tokens")(given)
    bare = build_model(replace(CONFIG, head=HeadConfig())).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("decoder.")})
    wanted = FeatureExtractor(bare, [-1], "tokens")(given)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert all(torch.equal(one, other) for one, other in zip(value, wanted[name]))


def test_training_with_activation_checkpointing_checkpoint_and_what_it_learns(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    transformer = replace(TINY, head=HeadConfig(decoder=DecoderConfig(1, width=20, num_heads=2)))
    module = build_module(sources, transformer=transformer, checkpoints_activations=True)
    collate = Packer(sources, LeaveOutMasked(AnyToAnyMasking()))
    trainer = build_trainer(tmp_path, max_steps=4)
    before = {name: value.clone() for name, value in module.model.state_dict().items()}
    trainer.fit(module, build_data(tmp_path, sources, collate=collate, num_steps=4))
    after = module.model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"decoder.enter_left_out.weight", "decoder.blocks.0.attention.qkv.weight"} <= moved
    assert {"decoder.leave.weight", "blocks.0.attention.qkv.weight"} <= moved


def test_through_the_front_door_and_its_folder(
    toy_model: MaskedTransformer,
    toy_tokenizers: dict[str, Tokenizer],
    toy_media: dict[str, Any],
    tmp_path: Path,
) -> None:
    config = replace(toy_model.config, head=HeadConfig(decoder=DecoderConfig(1, width=16)))
    torch.manual_seed(0)
    pipeline = Pipeline(MaskedTransformer(toy_model.vocabulary, config), toy_tokenizers)
    save_checkpoint(tmp_path / "run", pipeline.model, toy_tokenizers)
    loaded = load(tmp_path / "run")
    assert loaded.model.config == config and isinstance(loaded.model.config.head.decoder, DecoderConfig)
    for given in (pipeline, loaded):
        out = given.generate(
            {"text": toy_media["text"]}, ["image", "speech"], num_steps=3, guidance_scale=2.0
        )
        assert out["image"].shape == (5, 1, 8, 8) and len(out["speech"]) == 5
    features = loaded.extract_features({"image": toy_media["image"]})["image"]
    assert torch.equal(features, pipeline.extract_features({"image": toy_media["image"]})["image"])


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="head.decoder=None to put them back"):
        MaskedCrossEntropy()(
            build_model(replace(CONFIG, head=HeadConfig())), masked().with_target_rows(), KEY
        )
    ordered = replace(masked(), order=torch.zeros(masked().inputs.num_rows, dtype=torch.int64))
    with pytest.raises(ValueError, match="make layouts of their own"):
        MaskedCrossEntropy(structure=Permuted())(build_model(), ordered.with_target_rows(), KEY)
    with pytest.raises(ValueError, match="head.decoder=DecoderConfig"):
        check_compiles(CONFIG)
    with pytest.raises(ValueError, match="conv_kernel=3 as the only positions"):
        replace(CONFIG, positions=PositionConfig(rotary=None, learned=None, conv_kernel=3))
    with pytest.raises(ValueError, match="width=10 over num_heads=4"):
        replace(CONFIG, head=HeadConfig(decoder=DecoderConfig(1, width=10, num_heads=4)))
    with pytest.raises(ValueError, match="depth=0"):
        DecoderConfig(0)
    with pytest.raises(ValueError, match="decoder: has unknown fields"):
        TransformerConfig.from_dict(CONFIG.to_dict() | {"head": {"decoder": {"layers": 2}}})
