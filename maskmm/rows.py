"""Some rows of a packed sequence: those that are asked, those that the encoder sees. Made off the training step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import TensorRecord


@dataclass(frozen=True)
class AskedRows(TensorRecord):
    """Rows that the last layer answers for.

    Attributes:
        index: (R,) int64 rows of a packed sequence, ascending, each once.
        cu_seqlens: (B + 1,) int64; sample b owns index[cu_seqlens[b] : cu_seqlens[b + 1]].
    """

    index: Tensor
    cu_seqlens: Tensor

    @classmethod
    def of(cls, sequence: TokenSequence, is_asked: Tensor, count: int | None = None) -> AskedRows:
        """The rows that is_asked (N,) names.

        Args:
            sequence: N rows.
            is_asked: (N,) bool.
            count: where given, the last of the other rows fill the list up to this number, so that compiled steps
                see one shape.
        """
        if count is not None:
            others = (~is_asked).nonzero().flatten()
            missing = count - int(is_asked.sum())
            is_asked = is_asked.clone()
            is_asked[others[len(others) - missing :]] = True
        index = is_asked.nonzero().flatten()
        counts = torch.bincount(sequence.sample[index], minlength=sequence.num_samples)
        return cls(index, F.pad(counts.cumsum(0), (1, 0)))

    def place_of(self, rows: Tensor) -> Tensor:
        """Where each of the rows, all of which are asked, lies among the asked ones; int64 of the same shape."""
        return torch.searchsorted(self.index, rows)


@dataclass(frozen=True)
class EncodedRows(TensorRecord):
    """Rows that the encoder sees, where others are left out.

    Attributes:
        index: (M,) int64 rows of the whole sequence, ascending.
        sequence: these rows alone; its samples are those of the whole, some of them perhaps empty.
    """

    index: Tensor
    sequence: TokenSequence

    @classmethod
    def of(cls, sequence: TokenSequence, is_encoded: Tensor) -> EncodedRows:
        """The rows that is_encoded (N,) bool names."""
        index = is_encoded.nonzero().flatten()
        return cls(index, sequence.select_rows(index))


def is_wholly_masked(sequence: TokenSequence) -> Tensor:
    """(N,) bool: rows that show nothing but masks, in every codebook; such rows can be left out of an encoder."""
    is_mask = torch.isin(sequence.ids, sequence.vocabulary.mask_ids()[1:].to(sequence.ids.device))
    is_empty = sequence.ids == sequence.vocabulary.pad_id
    return is_mask.any(dim=1) & (is_mask | is_empty).all(dim=1)
