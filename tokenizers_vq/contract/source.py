"""A modality as a config names it: a name and the folder of its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers_vq.contract.spec import Modality
from tokenizers_vq.contract.tokenizer import read_spec, read_specials


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

    def specials(self) -> dict[str, int]:
        """Special codes that its tokenizer brings, see `Tokenizer.specials`.

        Raises:
            ValueError: as `load`.
        """
        return read_specials(self.tokenizer)
