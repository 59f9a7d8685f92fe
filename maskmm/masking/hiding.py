"""Which codes of a segment are hidden, once it is known how many: single ones, or whole groups (words)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from maskmm.ranking import rank_within, sum_before
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


class Hiding(ABC):
    """Chooses about a share of each segment's codes; a pure function of its arguments."""

    @abstractmethod
    def __call__(self, sequence: TokenSequence, ratio_S: Tensor, least_S: Tensor, key: Key) -> Tensor:
        """Which codes are hidden.

        Args:
            sequence: packed rows.
            ratio_S: (S,) share of each segment's codes.
            least_S: (S,) int64, 1 where something must be hidden, else 0.
            key: of the choice.

        Returns:
            (N, Q) bool, False where a row has no such codebook.
        """


class EachCode(Hiding):
    """Each (position, codebook) on its own: exactly max(least, round(ratio n Q)) of the n Q codes."""

    def __call__(self, sequence: TokenSequence, ratio_S: Tensor, least_S: Tensor, key: Key) -> Tensor:
        """See `Hiding`."""
        row, codebook, segment = _codes(sequence)
        rank = rank_within(segment, key.uniform(*_names(sequence, row), codebook))
        is_hidden = torch.zeros(sequence.ids.shape, dtype=torch.bool)
        is_hidden[row, codebook] = rank < _counts(segment, ratio_S, least_S)[segment]
        return is_hidden


class WholeGroups(Hiding):
    """Rows of one `TokenSequence.group` together, whole words for instance (as BERT's whole word masking).

    Groups come in random order until round(ratio n Q) codes are hidden. The last one would often be too much: it is
    hidden with the probability that makes the number of hidden codes right in the mean, where BERT looks for a
    shorter word. Where something must be hidden the first group is, however long. Rows without a group are groups of
    one, and without any groups this is `EachCode`.
    """

    def __call__(self, sequence: TokenSequence, ratio_S: Tensor, least_S: Tensor, key: Key) -> Tensor:
        """See `Hiding`."""
        row, codebook, segment = _codes(sequence)
        group = _group_of_code(sequence, row, codebook, segment)
        size = torch.bincount(group)
        # A group goes by its first code, which stands first among the codes.
        first = torch.full_like(size, len(group)).scatter_reduce(0, group, torch.arange(len(group)), "amin")
        counters = (*_names(sequence, row[first]), codebook[first])
        segment_G = segment[first]
        before = sum_before(segment_G, key.uniform(*counters), size)
        count_G = _counts(segment, ratio_S, least_S)[segment_G]
        is_hidden_G = before + key.fold("edge").uniform(*counters) * size < count_G
        is_hidden_G |= (before == 0) & (least_S[segment_G] > 0)
        is_hidden = torch.zeros(sequence.ids.shape, dtype=torch.bool)
        is_hidden[row, codebook] = is_hidden_G[group]
        return is_hidden


def _codes(sequence: TokenSequence) -> tuple[Tensor, Tensor, Tensor]:
    """Row, codebook and segment of every code."""
    row, codebook = (sequence.has_codebook() & (sequence.segment >= 0)[:, None]).nonzero(as_tuple=True)
    return row, codebook, sequence.segment[row]


def _names(sequence: TokenSequence, row: Tensor) -> tuple[Tensor, Tensor]:
    """What names a row in whatever batch it is."""
    return sequence.sample_id[sequence.sample[row]], sequence.row_in_sample()[row]


def _counts(segment: Tensor, ratio_S: Tensor, least_S: Tensor) -> Tensor:
    """(S,) codes to hide."""
    num_codes = torch.bincount(segment, minlength=len(ratio_S))
    return (ratio_S * num_codes).round().long().maximum(least_S)


def _group_of_code(sequence: TokenSequence, row: Tensor, codebook: Tensor, segment: Tensor) -> Tensor:
    """(n,) int64 numbers of the groups: codes of one codebook and group in a segment share one."""
    group = sequence.num_rows + row
    if sequence.group is not None:
        # Numbered anew: a batch's own numbers may be as large as those of rows that are alone.
        number = torch.unique(sequence.group, return_inverse=True)[1]
        group = torch.where(sequence.group[row] >= 0, number[row], group)
    name = (segment * 2 * sequence.num_rows + group) * sequence.ids.shape[1] + codebook
    return torch.unique(name, return_inverse=True)[1]
