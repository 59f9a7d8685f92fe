"""The head in chunks, computed again in the backward: the same loss and gradients, no tensor of rows times codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig, HeadConfig
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch
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


@pytest.mark.parametrize("head", [HeadConfig(), HeadConfig("dense", is_tied=False, has_bias=False)])
@pytest.mark.parametrize("chunk_size", [1, 5, 1000])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_same_loss_metrics_and_gradients(
    label_smoothing: float, chunk_size: int, head: HeadConfig
) -> None:
    torch.manual_seed(0)
    model, batch = MaskedTransformer(VOCABULARY, replace(CONFIG, head=head)), masked()
    found = MaskedCrossEntropy(label_smoothing, chunk_size=chunk_size)(model, batch, KEY)
    wanted = MaskedCrossEntropy(label_smoothing)(model, batch, KEY)
    assert list(found.parts) == list(wanted.parts)
    assert sum(int(count) for _, count in found.parts.values()) == int(batch.is_target.sum())
    for name, (total, count) in wanted.parts.items():
        torch.testing.assert_close(found.parts[name][0], total, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.parts[name][1], count)
    for name, (value, count) in wanted.metrics.items():
        torch.testing.assert_close(found.metrics[name][0], value, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.metrics[name][1], count) and not found.metrics[name][0].requires_grad
    for one, other in zip(gradients(model, found.parts), gradients(model, wanted.parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


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


def kept_and_largest(chunk_size: int | None, num_rows: int, num_codes: int) -> tuple[int, int]:
    """Elements kept for the backward, and of the largest tensor of a training step."""
    text = Modality("text", TokenSpec(num_codes, axes=("t",), max_length=num_rows))
    sample = {"text": torch.arange(num_rows)[:, None] % num_codes}
    vocabulary = Vocabulary([text])
    batch = pack(TokenBatch.from_samples([sample], [text]), vocabulary)
    model = MaskedTransformer(vocabulary, CONFIG)
    masking = AnyToAnyMasking()(batch, KEY)
    everything = replace(masking, is_target=batch.has_codebook()).with_target_rows()
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with Largest() as largest:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            parts = MaskedCrossEntropy(chunk_size=chunk_size)(model, everything, KEY).parts
        torch.stack([total for total, _ in parts.values()]).sum().backward()
    return sum(kept.values()), largest.numel


def test_no_tensor_of_rows_times_codes_is_made_or_kept() -> None:
    rows, codes = 300, 2000
    kept, largest = kept_and_largest(None, rows, codes)
    assert kept > rows * codes and largest >= rows * codes
    kept, largest = kept_and_largest(10, rows, codes)
    table = (codes + 4) * CONFIG.width
    assert largest <= max(10 * codes, table) < rows * codes // 10
    assert kept < rows * codes // 4
    more, largest_of_more = kept_and_largest(10, 2 * rows, codes)
    assert largest_of_more == largest and more - kept < 2 * rows * 40 * CONFIG.width


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="chunk_size=0"):
        MaskedCrossEntropy(chunk_size=0)

    class NoHeads:
        vocabulary = VOCABULARY

        def forward_features(self, sequence: Any) -> Tensor:
            return torch.zeros(sequence.num_rows, 4)

        def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
            raise AssertionError

        def logits_of(self, questions: Any) -> list[Tensor]:
            raise AssertionError

    with pytest.raises(ValueError, match="NoHeads has none"):
        MaskedCrossEntropy(chunk_size=4)(NoHeads(), masked(), KEY)
