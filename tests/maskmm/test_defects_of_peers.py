"""Defects found in public masked-token models (numbered B1 to B11 when they were collected), one small test for each.

The longer tests of the same behaviour stand with the modules; here each defect is shown once, in the words and numbers
of the peer that has it.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from datamodules.store import TokenItems, TokenStore, write_store
from maskmm.checkpoint import load_checkpoint, save_checkpoint
from maskmm.decoding import ConfidenceOrder, Guidance, IterativeDecoder, generate_tokens
from maskmm.interop.lightning_checkpoint import read_lightning
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.schedules import CosineSchedule, num_masked
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.conftest import ToyImage
from tests.maskmm.decoding.stubs import (
    IMAGE,
    MODALITIES,
    TEXT,
    VOCABULARY,
    HashModel,
    OracleModel,
    full_batch,
    unknown_of,
)
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec


def test_b1_annealed_noise_does_not_compound() -> None:
    """temperature = temperature * (1 - ratio) inside the loop: 0.40 instead of 2.5 at step 8 of 18."""
    assert float(ConfidenceOrder(4.5).noise_at(torch.tensor(8 / 18))) == pytest.approx(2.5)


def test_b2_counts_follow_the_unknown_at_the_start() -> None:
    """Counted on the whole grid, 32 unknown of 256 tokens gave 1 a step and 17 in the last of 16 steps."""
    left = num_masked(CosineSchedule(), 16, torch.tensor([32]))[0]
    revealed = (left[:-1] - left[1:]).tolist()
    assert sum(revealed) == 32 and min(revealed) >= 1 and max(revealed) <= 4


def test_b3_a_large_vocabulary_weighs_no_more() -> None:
    """Weights of tokens times vocabulary made a modality of 30 000 codes count 3.7 times one of 8 000."""
    large, small = Modality("large", TokenSpec(3000)), Modality("small", TokenSpec(80))
    vocabulary = Vocabulary([large, small])
    model = MaskedTransformer(
        vocabulary,
        TransformerConfig(
            width=8, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=8)
        ),
    )
    torch.nn.init.zeros_(model.embedding.codes.weight)  # every code is as likely
    samples = [{"large": torch.tensor([5]), "small": torch.tensor([5])}] * 6
    sequence = pack(TokenBatch.from_samples(samples, vocabulary.modalities), vocabulary)
    batch = AnyToAnyMasking(single_target=0.0)(sequence, Key(0)).with_target_rows()
    parts = MaskedCrossEntropy()(model, batch, Key(0)).parts
    counts = {name: count for name, (_, count) in parts.items()}
    expected = torch.log(torch.tensor(3000.0)) + torch.log(torch.tensor(80.0))
    torch.testing.assert_close(total_loss(parts, counts, {}).detach(), expected)


def test_b4_positions_are_written_into_their_own_sample() -> None:
    """tensor[:, positions] = values with (batch, n) positions wrote across the batch: right for batch size 1 alone."""
    answer = pack(full_batch(5), VOCABULARY)
    is_unknown = unknown_of(answer, "image", "text") & (torch.arange(answer.num_rows) % 3 > 0)[:, None]
    done = IterativeDecoder(4, guidance=Guidance(2.0)).decode(OracleModel(answer), answer, is_unknown, 0)
    assert torch.equal(done.ids, answer.ids)


def test_b5_both_passes_of_guidance_ask_for_the_same_positions() -> None:
    """Without a seed, both passes drew positions of their own, and logits of different tokens were mixed."""
    sequence = pack(full_batch(3), VOCABULARY)
    is_unknown = unknown_of(sequence, "image")
    is_condition = (sequence.segment >= 0) & ~is_unknown.any(1)

    def features(shown):  # type: ignore[no-untyped-def]
        return torch.stack([shown.sample_id[shown.sample], *shown.position.unbind(1)], dim=1).double()

    model = SimpleNamespace(vocabulary=VOCABULARY, forward_features=features)
    rows = is_unknown.any(1).nonzero().flatten()
    guided = Guidance(7.0).features(model, sequence, rows, is_condition, torch.ones(len(rows)))  # type: ignore[arg-type]
    assert torch.equal(guided, features(sequence)[rows])  # u + s (c - u) of equal numbers


def test_b6_checkpoints_hold_no_pickled_objects(tmp_path: Path) -> None:
    """A pickled argparse.Namespace in a checkpoint is refused by torch.load since 2.6; here nothing is pickled."""
    torch.save({"state_dict": {}, "args": SimpleNamespace(depth=3)}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="more than tensors"):
        read_lightning(tmp_path / "foreign.ckpt")
    tokenizer = ToyImage()
    vocabulary = Vocabulary([Modality("image", tokenizer.spec)])
    config = TransformerConfig(
        width=8,
        depth=1,
        attention=AttentionConfig(num_heads=1),
        ffn=FeedForwardConfig(width=8),
        input_widths={"image": 4},
    )
    save_checkpoint(tmp_path / "run", MaskedTransformer(vocabulary, config), {"image": tokenizer})
    assert {p.suffix for p in (tmp_path / "run").rglob("*") if p.is_file()} <= {".json", ".safetensors"}
    assert load_checkpoint(tmp_path / "run").models["main"].config == config


@pytest.mark.parametrize("size", [32_769, 65_536, 65_537, 300_000])
def test_b6_codes_of_large_codebooks_are_kept(size: int, tmp_path: Path) -> None:
    """Saved as int16, codes above 32 767 overflowed."""
    spec = TokenSpec(size, axes=("t",), grid=(3,))
    codes = torch.tensor([[0], [32_768], [size - 1]])
    items = TokenItems.from_codes([codes], torch.tensor([0]), spec, "hash")
    write_store(tmp_path / "store", {"image": items}, {})
    assert torch.equal(TokenStore.open(tmp_path / "store").codes("image", 0), codes)


def test_b6_every_sample_ends_where_it_ends() -> None:
    """The end token of sample 0 was taken for all; here lengths are each sample's own."""
    batch = full_batch(5)
    shapes = batch.segments.shape[batch.segments.modality == batch.names.index("text"), 0]
    assert shapes.tolist() == [1, 2, 3, 4, 5]
    out = generate_tokens(HashModel(), batch, ["audio"], IterativeDecoder(2), seed=0)
    for before, after in zip(batch.samples(MODALITIES), out.samples(MODALITIES)):
        assert torch.equal(before["text"][0], after["text"][0])


def test_b7_a_modality_that_nothing_is_asked_of_costs_nothing() -> None:
    """logits[-n:] with n = 0 took every row."""
    torch.manual_seed(0)
    config = TransformerConfig(
        width=8, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=8)
    )
    model = MaskedTransformer(VOCABULARY, config)
    samples = [{"image": torch.ones(3, 4, 1, dtype=torch.int64)}] * 3
    batch = AnyToAnyMasking()(pack(TokenBatch.from_samples(samples, MODALITIES), VOCABULARY), Key(0))
    with torch.no_grad():
        parts = MaskedCrossEntropy()(model, batch.with_target_rows(), Key(0)).parts
        filled = MaskedCrossEntropy()(model, batch.with_target_rows(capacity=16), Key(0)).parts
    assert float(parts["image/0/masked"][1]) > 0
    for name in set(parts) - {"image/0/masked"}:
        assert [float(value) for value in (*parts[name], *filled[name])] == [0.0] * 4


@pytest.mark.parametrize("scale", [-1.5, 0.0, 4.0])
def test_b8_every_guidance_runs_and_conditions_reach_the_model(scale: float) -> None:
    """Negative prompts named variables that did not exist; a low-resolution condition was computed and never passed."""
    batch = full_batch(2)
    texts = batch.keep_segments(batch.segments.modality == batch.names.index("text"))
    other = TokenBatch.from_samples(
        [{"text": (s["text"][0] + 1) % TEXT.spec.codebook_size} for s in texts.samples(MODALITIES)],
        MODALITIES,
        texts.sample_id,
    )
    decoder = IterativeDecoder(3, guidance=Guidance(scale))
    first, second = (
        generate_tokens(HashModel(), b, ["image"], decoder, seed=0).codes["image"] for b in (texts, other)
    )
    assert torch.equal(first, second) == (scale == 0.0)  # 0 ignores the condition


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_b11_generation_without_any_condition(scale: float) -> None:
    """A variable was set only where there were conditions."""
    nothing = TokenBatch.from_samples([{}, {}], MODALITIES)
    decoder = IterativeDecoder(3, guidance=Guidance(scale))
    out = generate_tokens(HashModel(), nothing, ["image"], decoder, seed=0).samples(MODALITIES)
    assert all(sample["image"][0].shape == (*IMAGE.spec.shape(), 1) for sample in out)
