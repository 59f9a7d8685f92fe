"""The head in tiles, computed again in the backward: the same loss and gradients, no tensor of rows times codes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn import linear_cross_entropy
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, HeadConfig
from maskmm.objectives.base import MaskedModel, ObjectiveOutput
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
from tests.maskmm.objectives.stubs import WithoutTable
from tests.reference.naive_cross_entropy import naive_sums
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec

KEY = Key(0)
CONFIG = TransformerConfig(
    width=16,
    depth=1,
    attention=AttentionConfig(num_heads=2),
    ffn=FeedForwardConfig(width=16),
    init_std=0.3,
)


def masked(num_samples: int = 8) -> MaskedSequence:
    batch = AnyToAnyMasking(single_target=0.0)(pack(full_batch(num_samples), VOCABULARY), KEY)
    is_late = batch.inputs.position.sum(dim=1, keepdim=True) > 1
    return replace(
        batch, part=is_late.long() * batch.mask_kind, part_names=("early", "late")
    ).with_target_rows()


def check_same(found: ObjectiveOutput, wanted: ObjectiveOutput, model: nn.Module) -> None:
    assert list(found.parts) == list(wanted.parts)
    for name, (total, count) in wanted.parts.items():
        torch.testing.assert_close(found.parts[name][0], total, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.parts[name][1], count)
    for name, (value, count) in wanted.metrics.items():
        torch.testing.assert_close(found.metrics[name][0], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.metrics[name][1], count) and not found.metrics[name][0].requires_grad
    for one, other in zip(gradients(model, found.parts), gradients(model, wanted.parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


HEADS = [HeadConfig(), HeadConfig("dense", is_tied=False, has_bias=False)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("max_logits", [0, 300, None])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_same_loss_metrics_and_gradients(
    label_smoothing: float, max_logits: int | None, head: HeadConfig
) -> None:
    torch.manual_seed(0)
    model, batch = MaskedTransformer(VOCABULARY, replace(CONFIG, head=head)), masked()
    found = MaskedCrossEntropy(label_smoothing, max_logits=max_logits)(model, batch, KEY)
    assert sum(int(count) for _, count in found.parts.values()) == int(batch.is_target.sum())
    check_same(found, MaskedCrossEntropy(label_smoothing)(WithoutTable(model), batch, KEY), model)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("has_table", [True, False])
def test_a_row_at_a_time(label_smoothing: float, head: HeadConfig, has_table: bool) -> None:
    torch.manual_seed(0)
    model, batch = MaskedTransformer(VOCABULARY, replace(CONFIG, head=head)), masked(4)
    asked: MaskedModel = model if has_table else WithoutTable(model)
    found = MaskedCrossEntropy(label_smoothing)(asked, batch, KEY)
    wanted = naive_sums(model, batch, label_smoothing)
    assert set(wanted) == {name for name, (_, count) in found.parts.items() if count}
    for name, (loss, nll, num_right, count) in wanted.items():
        torch.testing.assert_close(found.parts[name][0], loss, rtol=1e-5, atol=1e-5)
        bits, right = found.metrics[f"{name}/bits"][0], found.metrics[f"{name}/accuracy"][0]
        assert float(bits) == pytest.approx(nll / math.log(2), rel=1e-4)
        assert (int(right), int(found.parts[name][1])) == (num_right, count)


def gradients(model: nn.Module, parts: dict[str, tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Each part weighs something else."""
    loss = torch.stack([(i + 1) * total for i, (total, _) in enumerate(parts.values())]).sum()
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


class Largest(TorchDispatchMode):
    """The most elements of any tensor that any operation makes."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else [out]:
            if isinstance(value, Tensor):
                self.numel = max(self.numel, value.numel())
        return out


def kept_and_largest(max_logits: int | None, num_rows: int, num_codes: int) -> tuple[int, int]:
    """Elements kept for the backward, and of the largest tensor of a training step."""
    text = Modality("text", TokenSpec(num_codes, axes=("t",), max_length=num_rows))
    sample = {"text": torch.arange(num_rows)[:, None] % num_codes}
    vocabulary = Vocabulary([text])
    batch = pack(TokenBatch.from_samples([sample], [text]), vocabulary)
    model: MaskedModel = MaskedTransformer(vocabulary, CONFIG)
    if max_logits is None:
        model = WithoutTable(MaskedTransformer(vocabulary, CONFIG))
    masking = AnyToAnyMasking()(batch, KEY)
    everything = replace(masking, is_target=batch.has_codebook()).with_target_rows()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with Largest() as largest:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            parts = MaskedCrossEntropy(max_logits=max_logits)(model, everything, KEY).parts
        torch.stack([total for total, _ in parts.values()]).sum().backward()
    return sum(kept.values()), largest.numel


def test_no_tensor_of_rows_times_codes_is_made_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear_cross_entropy, "_TILE", 0)
    rows, codes, tile = 300, 4000, 256
    kept, largest = kept_and_largest(None, rows, codes)
    assert kept > rows * codes and largest >= rows * codes
    table = (codes + 4) * CONFIG.width
    kept, largest = kept_and_largest(0, rows, codes)
    assert largest <= max(rows * tile, table) < rows * codes // 10
    assert kept < rows * codes // 4
    some, _ = kept_and_largest(5 * rows * tile, rows, codes)
    assert some - kept == 5 * rows * tile
    more, _ = kept_and_largest(0, rows, 2 * codes)
    assert more - kept <= 2 * (codes * CONFIG.width + codes)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="max_logits=-1, expected at least 0"):
        MaskedCrossEntropy(max_logits=-1)

    class NoTable:
        vocabulary = VOCABULARY

        def forward_features(self, sequence: Any) -> Tensor:
            return torch.zeros(sequence.num_rows, 4)

        def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
            raise AssertionError

        def logits_of(self, questions: Any) -> list[Tensor]:
            raise AssertionError

    with pytest.raises(ValueError, match="NoTable has not"):
        MaskedCrossEntropy(max_logits=4)(NoTable(), masked(), KEY)
