"""Continuous inputs beside codes, instead of codes, and without any: what is seen, what is asked, what leaks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.decoding import IterativeDecoder
from maskmm.decoding.generate import generate_tokens
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.continuous import InputsInsteadOfCodes
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, EmbeddingConfig, FeedForwardConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.sequence import pack, unpack
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec

IMAGE = Modality("image", TokenSpec(11, 1, ("y", "x"), (2, 3)))
SENTENCE = Modality("sentence", TokenSpec(0, 0, ("t",), max_length=6))
CLIP = Modality("clip", TokenSpec(0, 0))
SPEECH = Modality("speech", TokenSpec(5, 3, ("t",), max_length=8))


def config(**input_widths: int) -> TransformerConfig:
    return TransformerConfig(
        width=18, depth=2, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=16), init_std=0.3,
        input_widths=input_widths,
    )  # fmt: skip


def build(modalities: list[Modality], **input_widths: int) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(Vocabulary(modalities), config(**input_widths)).double().eval()


def patches(num_samples: int, seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {"image": torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)} for _ in range(num_samples)
    ]


def images(num_samples: int, seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [{"image": torch.randint(11, (2, 3, 1), generator=generator)} for _ in range(num_samples)]


def test_beit_sees_patches_and_learns_the_hidden_codes() -> None:
    model, masking = build([IMAGE], image=4), InputsInsteadOfCodes(AnyToAnyMasking())

    def features(codes: list[dict[str, Tensor]], inputs: list[dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
        batch = TokenBatch.from_samples(codes, [IMAGE], inputs=inputs)
        masked = masking(pack(batch, model.vocabulary), Key(0))
        return model(masked.inputs), masked.mask_kind[masked.inputs.modality == 1, 0] > 0

    found, is_hidden = features(images(4), patches(4))
    assert 0 < int(is_hidden.sum()) < 24
    same, _ = features(images(4, seed=9), patches(4))
    assert torch.equal(found, same)  # no code leaks in
    moved = [{"image": p["image"] + is_hidden.view(4, 2, 3, 1)[i] * 100.0} for i, p in enumerate(patches(4))]
    assert torch.equal(features(images(4), moved)[0], found)  # nor any hidden patch
    shown = [{"image": p["image"] + ~is_hidden.view(4, 2, 3, 1)[i] * 1.0} for i, p in enumerate(patches(4))]
    moved_rows = ((features(images(4), shown)[0] - found).abs().amax(1) > 1e-6).view(4, 7)
    has_visible = ~is_hidden.view(4, 6).all(1)
    assert torch.equal(moved_rows, has_visible[:, None].expand(4, 7))

    batch = TokenBatch.from_samples(images(4), [IMAGE], inputs=patches(4))
    masked = masking(pack(batch, model.vocabulary), Key(0)).with_target_rows()
    (rows,) = masked.target_rows
    assert torch.equal(rows.codes, batch.codes["image"][is_hidden, 0])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        parts = MaskedCrossEntropy()(model, masked, Key(0)).parts
        loss = total_loss(parts, {name: count for name, (_, count) in parts.items()}, {})
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


def test_codes_are_seen_beside_inputs_without_the_wrapper() -> None:
    model = build([IMAGE], image=4)
    batches = [TokenBatch.from_samples(images(2, seed), [IMAGE], inputs=patches(2)) for seed in (0, 1)]
    first, second = (model(pack(batch, model.vocabulary)) for batch in batches)
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("num_codebooks", [1, 2])
def test_a_model_of_inputs_alone_sees_no_codes_wherever_it_is_used(num_codebooks: int) -> None:
    """Training with codes taken away and features with codes given are the same function."""
    options = EmbeddingConfig(has_codes_beside_inputs=False)
    levels = Modality("image", TokenSpec(11, num_codebooks, ("y", "x"), (2, 3)))
    torch.manual_seed(0)
    model = MaskedTransformer(Vocabulary([levels]), replace(config(image=4), embedding=options)).double()

    def codes(seed: int) -> list[dict[str, Tensor]]:
        return [{"image": c["image"].expand(2, 3, num_codebooks)} for c in images(4, seed)]

    first, second = (
        pack(TokenBatch.from_samples(codes(seed), [levels], inputs=patches(4)), model.vocabulary)
        for seed in (0, 1)
    )
    assert torch.equal(model(first), model(second))
    bare = InputsInsteadOfCodes(AnyToAnyMasking())(first, Key(0)).inputs
    hidden = AnyToAnyMasking()(first, Key(0)).inputs
    assert bool((bare.ids != hidden.ids).any()) and bool((hidden.ids == model.vocabulary.mask_id()).any())
    torch.testing.assert_close(model(hidden), model(bare), atol=1e-12, rtol=0)
    without = [replace(sequence, inputs={}) for sequence in (first, second)]  # codes that were generated, say
    assert not torch.allclose(model(without[0]), model(without[1]))


def test_a_row_with_any_masked_code_does_not_show_its_input() -> None:
    """The input would give away the codes that are asked."""
    model = build([SPEECH], speech=2)
    codes = {"speech": torch.ones(4, 3, dtype=torch.int64)}
    values = torch.randn(4, 2, dtype=torch.float64)
    sequence = pack(TokenBatch.from_samples([codes], [SPEECH], inputs=[{"speech": values}]), model.vocabulary)
    kind = torch.zeros_like(sequence.ids)
    kind[2, 1] = 1  # one level of one row
    hidden = sequence.hide(kind)
    changed = replace(hidden, inputs={"speech": values + torch.tensor([0.0, 9.0, 0.0, 0.0])[:, None]})
    assert torch.equal(model.embedding(hidden), model.embedding(changed))
    assert not torch.equal(model.embedding(sequence), model.embedding(replace(changed, ids=sequence.ids)))


def mixed(num_samples: int) -> tuple[Vocabulary, TokenBatch]:
    modalities = with_length_modalities([SENTENCE, IMAGE, CLIP])
    samples, inputs = [], []
    generator = torch.Generator().manual_seed(0)
    for index, image in enumerate(images(num_samples)):
        length = 1 + index % 4
        samples.append({
            "sentence": torch.zeros(length, 0, dtype=torch.int64), **image,
            "clip": torch.zeros(0, dtype=torch.int64),
        })  # fmt: skip
        inputs.append({
            "sentence": torch.randn(length, 7, dtype=torch.float64, generator=generator),
            "clip": torch.randn(5, dtype=torch.float64, generator=generator),
        })  # fmt: skip
    return Vocabulary(modalities), TokenBatch.from_samples(samples, modalities, inputs=inputs)


def test_modalities_without_codes_are_conditions_and_have_no_head() -> None:
    vocabulary, batch = mixed(6)
    assert vocabulary.names == ("sentence", "image", "clip")  # and no length label
    assert vocabulary.size == 4 + 11
    torch.manual_seed(0)
    model = MaskedTransformer(vocabulary, config(sentence=7, clip=5)).double().eval()
    sequence = pack(batch, vocabulary)
    again = unpack(sequence)
    assert torch.equal(again.inputs["sentence"], batch.inputs["sentence"])
    assert torch.equal(again.codes["image"], batch.codes["image"])
    with pytest.raises(ValueError, match="codebook 0 of 'sentence', which has no codes"):
        model.logits(torch.zeros(1, 18), "sentence", 0)
    for step in range(5):
        masked = AnyToAnyMasking(condition_noise=0.5)(sequence, Key(0, step)).with_target_rows()
        assert {rows.name for rows in masked.target_rows} == {"image"}
        assert bool(masked.is_target[masked.inputs.modality == vocabulary.index("image")].any())
        assert not masked.mask_kind[masked.inputs.modality != vocabulary.index("image")].any()
    parts = MaskedCrossEntropy()(model, masked, Key(0)).parts
    assert list(parts) == ["image/0/masked"]
    for name in ("sentence", "clip"):
        changed = replace(sequence, inputs={**sequence.inputs, name: sequence.inputs[name] + 1})
        assert bool(((model(changed) - model(sequence)).abs().amax(1) > 1e-6).all())


def test_images_are_generated_from_continuous_conditions() -> None:
    vocabulary, batch = mixed(3)
    torch.manual_seed(0)
    model = MaskedTransformer(vocabulary, config(sentence=7, clip=5)).double().eval()
    is_image = batch.segments.modality == batch.names.index("image")
    out = generate_tokens(
        model, batch.keep_segments(~is_image), ["image"], IterativeDecoder(num_steps=2), seed=0
    )
    assert out.codes["image"].shape == (18, 1)
    assert torch.equal(out.inputs["sentence"], batch.inputs["sentence"])


def test_what_is_filled_in_has_no_inputs_of_what_was_there() -> None:
    model = build([IMAGE], image=4)
    sequence = pack(TokenBatch.from_samples(images(2), [IMAGE], inputs=patches(2)), model.vocabulary)
    is_unknown = sequence.has_codebook() & (torch.arange(sequence.num_rows) % 2 == 0)[:, None]
    with pytest.raises(ValueError, match="unknown slots of 'image', which has continuous inputs"):
        IterativeDecoder(num_steps=2).decode(model, sequence, is_unknown, seed=0)
    filled = IterativeDecoder(num_steps=2).decode(model, replace(sequence, inputs={}), is_unknown, seed=0)
    assert torch.equal(filled.ids[~is_unknown], sequence.ids[~is_unknown])


def test_an_encoder_of_nothing_but_continuous_inputs() -> None:
    model = build([CLIP], clip=5)
    batch = TokenBatch.from_samples(
        [{"clip": torch.zeros(0, dtype=torch.int64)}] * 2,
        [CLIP],
        inputs=[{"clip": torch.randn(5).double()}] * 2,
    )
    assert model(pack(batch, model.vocabulary)).shape == (4, 18)
    assert model.logits_of([]) == []


def test_rows_whose_codes_are_not_given() -> None:
    model = build([IMAGE], image=4)
    batch = replace(TokenBatch.from_samples(images(2), [IMAGE], inputs=patches(2)), codes={})
    sequence = pack(batch, model.vocabulary)
    assert bool((sequence.ids[sequence.modality == 1] == model.vocabulary.pad_id).all())
    again = unpack(sequence)
    assert again.codes == {} and torch.equal(again.inputs["image"], batch.inputs["image"])
    assert again.samples([IMAGE]) == [{}, {}]


def test_bad_input() -> None:
    with pytest.raises(
        ValueError, match=r"sample 1, image: continuous inputs on grids \[\(3, 2\)\], expected .*\[\(2, 3\)\]"
    ):
        wrong = [patches(1)[0], {"image": torch.zeros(3, 2, 4)}]
        TokenBatch.from_samples(images(2), [IMAGE], inputs=wrong)
    with pytest.raises(ValueError, match=r"on grids \[\], expected"):
        TokenBatch.from_samples(images(2), [IMAGE], inputs=[patches(1)[0], {}])
    with pytest.raises(ValueError, match="inputs of 1 samples for 2"):
        TokenBatch.from_samples(images(2), [IMAGE], inputs=patches(1))
    with pytest.raises(ValueError, match=r"several widths, or none at all: \{'image': \[3, 4\]\}"):
        TokenBatch.from_samples(images(2), [IMAGE], inputs=[patches(1)[0], {"image": torch.zeros(2, 3, 3)}])
    clip = TokenBatch.from_samples([{"clip": torch.zeros(0, dtype=torch.int64)}], [CLIP])
    with pytest.raises(ValueError, match="modality 'clip' has no codes, and the batch no continuous inputs"):
        pack(clip, Vocabulary([CLIP]))
    sequence = pack(TokenBatch.from_samples(images(2), [IMAGE]), Vocabulary([IMAGE]))
    with pytest.raises(ValueError, match=r"codes of \['image'\] are not to be shown, but .* \[\]"):
        InputsInsteadOfCodes(AnyToAnyMasking(), ["image"])(sequence, Key(0))
