"""Records of tensors move, and are page-locked, as one; whatever else they hold stays."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory

from tests.maskmm.decoding.stubs import full_batch
from tokenizers_vq.contract import TensorRecord
from tokenizers_vq.contract.tensors import map_tensors


@dataclass(frozen=True)
class Inner(TensorRecord):
    value: Tensor
    absent: Tensor | None = None


@dataclass(frozen=True)
class Outer(TensorRecord):
    inner: Inner
    parts: tuple[Inner, ...]
    by_name: dict[str, Tensor]
    name: str
    made_later: int = field(default=3, init=False)


def outer() -> Outer:
    return Outer(Inner(torch.ones(2)), (Inner(torch.ones(1)),), {"a": torch.ones(3)}, "x")


def test_every_tensor_moves_and_nothing_else_changes() -> None:
    moved = outer().to("meta")
    assert moved.inner.value.is_meta and moved.parts[0].value.is_meta and moved.by_name["a"].is_meta
    assert moved.name == "x" and moved.inner.absent is None and moved.made_later == 3
    doubled = map_tensors(outer(), lambda t: 2 * t)
    assert doubled.by_name["a"].tolist() == [2.0] * 3 and outer().by_name["a"].tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("device", "asked", "wanted"),
    [("cpu", None, False), ("meta", None, True), ("meta", False, False), ("cpu", True, True)],
)
def test_only_copies_to_the_host_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, device: str, asked: bool | None, wanted: bool
) -> None:
    seen: list[bool] = []
    move = Tensor.to
    monkeypatch.setattr(
        Tensor, "to", lambda self, where, non_blocking: (seen.append(non_blocking), move(self, where))[1]
    )
    outer().to(device, asked)
    assert seen == [wanted] * 3


def test_data_loaders_pin_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for page-locking, which needs a GPU: torch's own walk reaches every tensor of a batch."""
    pinned: list[Tensor] = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: (pinned.append(self), self.clone())[1])
    batch = full_batch(3)
    parts = pin_memory([batch, batch])
    assert len(pinned) == 2 * (len(batch.codes) + 5)
    assert torch.equal(parts[1].codes["image"], batch.codes["image"])
    assert parts[0].codes["image"] is not batch.codes["image"]


@pytest.mark.gpu
def test_pinned_batches_are_equal_and_page_locked() -> None:
    batch = full_batch(3).pin_memory()
    assert batch.sample_id.is_pinned() and batch.segments.shape.is_pinned()
    assert torch.equal(batch.to("cuda").codes["image"].cpu(), full_batch(3).codes["image"])
