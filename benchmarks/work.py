"""What benchmarks work on: seeded lengths, packed random codes, maskings with an exact share, floors in operations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from maskmm.masking.base import MaskedSequence, Masking, masked_at
from maskmm.ranking import rank_within
from maskmm.sequence import TokenSequence, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec


def lengths_of(count: int, longest: int, fill: float, seed: int = 0) -> list[int]:
    """Lengths up to `longest`, one of which it is; a padded batch of them is filled to `fill`, less rounding.

    Args:
        count: samples, at least 1 / fill.
        longest: columns of the padded batch.
        fill: share of it that is real.
        seed: of the lengths.
    """
    draws = torch.rand(count - 1, generator=torch.Generator().manual_seed(seed)) + 0.1
    rest = fill * count * longest - longest
    return [longest, *(draws / draws.sum() * rest).clamp(1, longest).long().tolist()]


def pass_name(is_training: bool) -> str:
    """What one call does, for the names of rows."""
    return "training" if is_training else "forward"


def random_tokens(lengths: list[int], modality: Modality, seed: int = 1) -> TokenBatch:
    """A sample of random codes for each length."""
    generator = torch.Generator().manual_seed(seed)
    size = modality.spec.codebook_size
    samples = [{modality.name: torch.randint(size, (n, 1), generator=generator)} for n in lengths]
    return TokenBatch.from_samples(samples, [modality])


def text_sequence(lengths: list[int], vocabulary: Vocabulary) -> TokenSequence:
    """Packed random codes of the vocabulary's text, without [CLS], longest first as the Packer lays them."""
    text = vocabulary.modalities[0]
    sequence = pack(random_tokens(lengths, text), vocabulary, has_cls=False)
    return take_samples(sequence, torch.tensor(lengths).argsort(descending=True, stable=True))


def text_vocabulary(num_codes: int, longest: int) -> Vocabulary:
    """One modality "text" of one codebook, of at most `longest` tokens."""
    return Vocabulary([Modality("text", TokenSpec(num_codes, axes=("t",), max_length=longest))])


class ExactShare(Masking):
    """Hides and asks the same share of every batch's tokens, so that each step does the same work.

    Args:
        share: of the rows that hold codes.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        rows = (sequence.segment >= 0).nonzero().flatten()
        draw = key.uniform(sequence.sample_id[sequence.sample[rows]], sequence.row_in_sample()[rows])
        is_masked = torch.zeros(sequence.ids.shape, dtype=torch.bool)
        chosen = rank_within(torch.zeros_like(rows), draw) < round(self.share * len(rows))
        is_masked[rows, 0] = chosen
        return masked_at(sequence, is_masked)


def trunk_flops(
    blocks: nn.Module,
    width: int,
    lengths: list[int],
    is_training: bool,
    windows: Sequence[int | None] | None = None,
) -> float:
    """Multiplications and additions of the matrix products on real rows, attention included.

    Two for each weight and row, 4 D for each pair of rows that a layer compares; training counts three forwards.

    Args:
        blocks: the encoder's layers; their matrices are counted.
        width: D of the attention (heads times head width).
        lengths: real rows of each sample.
        is_training: forward and backward.
        windows: rows that each layer sees to each side, None = the whole sample; all layers see it where not given.
    """
    weights = sum(p.numel() for p in blocks.parameters() if p.ndim == 2)
    layers = [None] * len(list(blocks.children())) if windows is None else windows
    pairs = sum(_pairs(length, window) for window in layers for length in lengths)
    forward = 2.0 * weights * sum(lengths) + 4.0 * width * pairs
    return 3 * forward if is_training else forward


def _pairs(length: int, window: int | None) -> int:
    """Pairs of rows of a sample that are at most `window` apart."""
    reach = length - 1 if window is None else min(window, length - 1)
    return length * (2 * reach + 1) - reach * (reach + 1)
