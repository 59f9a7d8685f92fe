"""Masked cross-entropy: equal to torch's own, the same however samples are packed, weighted as stated."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence, part_names
from maskmm.masking.transforms import DropModalities, LengthQueries
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.sequence import pack
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch
from tests.maskmm.training import part_of
from tokenizers_vq.contract import Key, TokenBatch

KEY = Key(0)


@pytest.fixture
def model() -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=16,
        depth=2,
        attention=AttentionConfig(num_heads=2),
        ffn=FeedForwardConfig(width=16),
        init_std=0.3,
    )
    return MaskedTransformer(VOCABULARY, config).double()


def masked(num_samples: int = 12) -> MaskedSequence:
    batch = DropModalities([0.2, 0.4, 0.4])(full_batch(num_samples), KEY.fold("drop"))
    batch = LengthQueries(MODALITIES, 0.3)(batch, KEY.fold("ask"))
    return AnyToAnyMasking()(pack(batch, VOCABULARY), KEY).with_target_rows()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_equals_the_cross_entropy_of_torch(model: MaskedTransformer, label_smoothing: float) -> None:
    batch = masked()
    output = MaskedCrossEntropy(label_smoothing)(model, batch, KEY)
    features = model(batch.inputs)
    num_asked = 0
    for m in VOCABULARY.modalities:
        for codebook in range(m.spec.num_codebooks):
            rows = (
                (batch.inputs.modality == VOCABULARY.index(m.name)) & batch.is_target[:, codebook]
            ).nonzero()
            rows = rows.flatten()
            codes = batch.targets[rows, codebook] - VOCABULARY.slice(m.name, codebook).start
            logits = model.logits(features[rows], m.name, codebook).float()
            name = f"{m.name}/{codebook}/masked"
            total, count = output.parts[name]
            assert int(count) == len(rows)
            if len(rows):
                plain = F.cross_entropy(logits, codes, reduction="sum")
                smooth = F.cross_entropy(logits, codes, reduction="sum", label_smoothing=label_smoothing)
                torch.testing.assert_close(total, smooth)
                bits, _ = output.metrics[f"{name}/bits"]
                torch.testing.assert_close(bits, plain.detach() / torch.log(torch.tensor(2.0)))
                right, _ = output.metrics[f"{name}/accuracy"]
                assert int(right) == int((logits.argmax(1) == codes).sum())
                loss, _ = output.metrics[f"{name}/loss"]
                assert not loss.requires_grad and float(loss) == pytest.approx(float(smooth.detach()))
                num_asked += 1
    assert num_asked == 6  # image, two audio levels, text, two lengths


def gradient(model: MaskedTransformer, loss: Tensor) -> list[Tensor]:
    return list(
        torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad], allow_unused=True)
    )


@pytest.mark.parametrize(
    "split", [([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]), ([11, 3], [4, 0, 1, 2, 10, 9, 8, 7, 6, 5])]
)
def test_packing_and_splitting_do_not_change_the_loss(
    model: MaskedTransformer, split: tuple[list[int], list[int]]
) -> None:
    """Parts are divided by counts summed over batches: what ranks do in training."""
    batch, objective, weights = masked(), MaskedCrossEntropy(0.1), {"text": 0.5}
    whole = objective(model, batch, KEY)
    counts = {name: count for name, (_, count) in whole.parts.items()}
    expected = total_loss(whole.parts, counts, weights)
    halves = [objective(model, part_of(batch, list(index)), KEY) for index in split]
    for name, count in counts.items():
        assert float(sum(half.parts[name][1] for half in halves)) == float(count)
    found = sum(total_loss(half.parts, counts, weights) for half in halves)
    assert isinstance(found, Tensor)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    for a, b in zip(gradient(model, found), gradient(model, expected)):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)


def test_capacity_rows_count_for_nothing(model: MaskedTransformer) -> None:
    batch = masked()
    plain = MaskedCrossEntropy()(model, batch, KEY)
    filled = MaskedCrossEntropy()(model, batch.with_target_rows(capacity=32), KEY)
    for name, (total, count) in plain.parts.items():
        torch.testing.assert_close(filled.parts[name][0], total)
        assert float(filled.parts[name][1]) == float(count)


def test_parts_are_named_whether_asked_or_not(model: MaskedTransformer) -> None:
    nothing = AnyToAnyMasking()(
        pack(TokenBatch.from_samples([{}], MODALITIES), VOCABULARY), KEY
    ).with_target_rows()
    output = MaskedCrossEntropy()(model, nothing, KEY)
    assert list(output.parts) == part_names(VOCABULARY, ("masked",))
    counts = {name: count for name, (_, count) in output.parts.items()}
    loss = total_loss(output.parts, counts, {})
    assert float(loss.detach()) == 0.0 and not any(count for _, count in output.metrics.values())
    loss.backward()


def parts(**values: tuple[float, float]) -> dict[str, tuple[Tensor, Tensor]]:
    return {
        name.replace("_", "/"): (torch.tensor(total), torch.tensor(count))
        for name, (total, count) in values.items()
    }


def test_weights_are_as_stated() -> None:
    """A peer weighed by tokens times vocabulary; here a modality's codebooks share its weight, whatever their size."""
    given = parts(
        image_0_masked=(6.0, 3.0),
        audio_0_masked=(4.0, 1.0),
        audio_1_masked=(8.0, 4.0),
        text_0_masked=(0.0, 0.0),
    )
    counts = {name: count for name, (_, count) in given.items()}
    assert float(total_loss(given, counts, {})) == pytest.approx(2.0 + (4.0 + 2.0) / 2)
    assert float(total_loss(given, counts, {"audio": 0.5})) == pytest.approx(2.0 + 0.5 * 3.0)
    assert float(total_loss(given, counts, {"image": 0.0, "audio": 0.0})) == 0.0


def test_weights_may_name_a_codebook_or_a_part() -> None:
    given = parts(
        audio_0_masked=(4.0, 1.0), audio_0_seen=(3.0, 1.0), audio_1_masked=(8.0, 4.0), audio_1_seen=(1.0, 1.0)
    )
    counts = {name: count for name, (_, count) in given.items()}
    weights = {"audio": 2.0, "audio/1": 0.5, "audio/0/seen": 0.0}
    assert float(total_loss(given, counts, weights)) == pytest.approx(
        (2.0 * 4.0 + 0.0 + 0.5 * 2.0 + 0.5 * 1.0) / 2
    )


@pytest.mark.parametrize("bad", [-0.1, 1.0])
def test_bad_label_smoothing(bad: float) -> None:
    with pytest.raises(ValueError, match=f"label_smoothing={bad}"):
        MaskedCrossEntropy(bad)
