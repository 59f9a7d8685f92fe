"""A modality as a config names it: a name and the folder of its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers_vq.contract.spec import Modality
from tokenizers_vq.contract.tokenizer import read_spec


@dataclass(frozen=True)
class ModalitySource:
    """A named token stream whose geometry its tokenizer's folder tells, so that no spec is typed twice.

    Args:
        name: e.g. "image".
        tokenizer: folder written by `Tokenizer.save`.
    """

    name: str
    tokenizer: str

    def load(self) -> Modality:
        """The modality; only config.json is read, no weights.

        Raises:
            ValueError: no such folder, or not a tokenizer's.
        """
        return Modality(self.name, read_spec(self.tokenizer))
