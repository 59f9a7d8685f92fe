"""What a datamodule is given from outside: a collate that packs, and transforms that run before it."""

from __future__ import annotations

from typing import Any, Protocol

from tokenizers_vq.contract.batch import TokenBatch
from tokenizers_vq.contract.randomness import Key


class BatchTransform(Protocol):
    """Changes a TokenBatch before packing: modality dropping, condition dropout, length queries, mis-pairing."""

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch: ...


class Collate(Protocol):
    """Turns a TokenBatch into what the model is trained on; runs in the data workers."""

    def __call__(self, batch: TokenBatch, key: Key) -> Any: ...
