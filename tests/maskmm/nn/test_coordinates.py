"""Row numbers in a sample: as packed, also after rows were left out, moved, joined or filled up."""

from __future__ import annotations

import torch

from maskmm.nn.coordinates import coordinates, num_axes, row_number
from maskmm.sequence import TokenSequence, concatenate, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

TEXT = Modality("text", TokenSpec(9, 1, ("t",), max_length=20))
LABEL = Modality("label", TokenSpec(3))
CLOSED = Vocabulary([TEXT, LABEL], aliases={"[CLS]": ("text", 1), "[SEP]": ("text", 2)})


def closed() -> TokenSequence:
    def text(length: int) -> torch.Tensor:
        return torch.full((length, 1), 5)

    samples = [{"text": [text(3), text(2)], "label": torch.tensor([0])}, {}, {"text": text(4)}]
    return pack(TokenBatch.from_samples(samples, [TEXT, LABEL]), CLOSED)


def test_whole_samples_are_counted_through() -> None:
    for sequence in (
        pack(full_batch(3), VOCABULARY),
        pack(full_batch(2), VOCABULARY, has_cls=False),
        closed(),
    ):
        assert torch.equal(row_number(sequence), sequence.row_in_sample())
        both = concatenate([sequence, sequence])
        assert torch.equal(row_number(both), both.row_in_sample())
        moved = take_samples(sequence, torch.tensor([1, 0]))
        assert torch.equal(row_number(moved), moved.row_in_sample())


def test_rows_keep_their_numbers_when_others_are_left_out_or_they_change_places() -> None:
    for sequence in (pack(full_batch(3), VOCABULARY), closed()):
        number = row_number(sequence)
        # Every segment keeps a token: one without any is an absent condition.
        is_first = torch.ones(sequence.num_rows, dtype=torch.bool)
        is_first[1:] = sequence.segment[1:] != sequence.segment[:-1]
        draw = torch.rand(sequence.num_rows, generator=torch.Generator().manual_seed(0))
        kept = ((draw < 0.5) | is_first | (sequence.segment < 0)).nonzero().flatten()
        assert torch.equal(row_number(sequence.select_rows(kept)), number[kept])
    sequence = pack(full_batch(1), VOCABULARY)
    order = torch.cat([torch.tensor([0]), 1 + torch.randperm(sequence.num_rows - 1)])
    assert torch.equal(row_number(sequence.select_rows(order)), order)


def test_absent_segments_do_not_count() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    is_kept = sequence.modality != VOCABULARY.index("image")
    left = sequence.select_rows(is_kept)
    assert torch.equal(row_number(left), left.row_in_sample())


def test_samples_without_segments() -> None:
    sequence = pack(TokenBatch.from_samples([{}, {}], MODALITIES), VOCABULARY)
    assert row_number(sequence).tolist() == [0, 0]


def test_axes() -> None:
    sequence = pack(full_batch(2), VOCABULARY)
    assert torch.equal(coordinates(sequence, "segment"), sequence.position)
    assert coordinates(sequence, "sample").shape == (sequence.num_rows, num_axes(VOCABULARY, "sample"))
    assert num_axes(VOCABULARY, "segment") == len(VOCABULARY.axes)
