"""Records of tensors (batches, tables) that go to another device as one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

_WAITING = ("cpu", "mps")
"""Devices whose copies must be waited for: what is read too early would be old memory."""


# A dataclass itself: jsonargparse takes records whose bases are all dataclasses for values, others for classes to name,
# and then refuses a transform of batches as none.
@dataclass(frozen=True)
class TensorRecord:
    """A base of dataclasses that hold tensors, other records, and tuples and dicts of both."""

    def to(self, device: torch.device | str, non_blocking: bool | None = None) -> Self:
        """The same record on another device.

        Args:
            device: where to.
            non_blocking: do not wait for the copy; where not given, as is safe: never to the CPU.
        """
        where = torch.device(device)
        is_quick = where.type not in _WAITING if non_blocking is None else non_blocking
        return map_tensors(self, lambda tensor: tensor.to(where, non_blocking=is_quick))

    def pin_memory(self) -> Self:
        """The same record in page-locked memory, from which copies to a GPU need not be waited for; needs a GPU.

        Data loaders call this.
        """
        return map_tensors(self, lambda tensor: tensor.pin_memory())


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same record, tuple or dict with every tensor changed; all else stays."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, TensorRecord):
        changed = {f.name: map_tensors(getattr(value, f.name), change) for f in fields(value) if f.init}
        return replace(value, **changed)
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map_tensors(item, change) for item in value)
    return value
