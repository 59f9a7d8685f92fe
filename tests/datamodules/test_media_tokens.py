"""Tokens made from media: codes and inputs of the same clips, the same batch for a step, one modality."""

from __future__ import annotations

import pytest
import torch

from datamodules.media_data import PaddedInOrder
from datamodules.media_tokens import MediaTokens
from datamodules.steps import ResumableLoader, StepData, StepLoader
from tokenizers_vq.audio.acoustic import RandomAcoustic
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.contract import ModalitySource

CLIPS = [torch.rand(n, generator=torch.Generator().manual_seed(n)) - 0.5 for n in (2800, 5600, 6400, 3000)]


class Clips(StepData):
    def __init__(self) -> None:
        super().__init__(2, 1, 0, 0)

    def train_dataloader(self) -> ResumableLoader:
        return self.training_loader(PaddedInOrder(CLIPS, 2))

    def val_dataloader(self) -> StepLoader:
        return StepLoader(PaddedInOrder(CLIPS, 2), 2)

    test_dataloader = val_dataloader


def unpacked(batch, key):
    """A collate that packs nothing."""
    return batch, key


@pytest.fixture
def data(tmp_path) -> MediaTokens:
    RandomAcoustic(FbankPatches(max_seconds=0.5), codebook_size=16, codebook_dim=4).save(tmp_path)
    return MediaTokens(Clips(), 2, 0, [ModalitySource("speech", str(tmp_path))], unpacked)


def test_codes_and_inputs_are_those_of_each_clip(data):
    seen = [batch for batch, _ in data.train_dataloader()]
    assert len(seen) == 2
    for batch, clips in zip(seen, (CLIPS[:2], CLIPS[2:])):
        codes = data.tokenizer.encode(clips)
        assert torch.equal(batch.codes["speech"], torch.cat([one.flatten(0, 1) for one in codes]))
        assert torch.equal(batch.inputs["speech"], data.tokenizer.inputs(clips))
    assert [batch.sample_id.tolist() for batch in seen] == [[0, 1], [2, 3]]


def test_a_step_is_masked_alike_every_time_and_splits_are_not(data):
    train, val = data.train_dataloader().make_batch, data.val_dataloader().make_batch
    assert train(1)[1] == train(1)[1] != val(1)[1]
    assert train(0)[1] != train(1)[1]


def test_evaluation_goes_through_the_split_once(data):
    lengths = [batch.num_samples for batch, _ in data.test_dataloader()]
    assert lengths == [2, 2]
    assert data.batch_size == 2


def test_the_media_get_the_steps_of_the_run(data):
    data.num_steps = 5
    data.train_dataloader()
    assert data.media.num_steps == 5


@pytest.mark.parametrize("count", [0, 2])
def test_other_than_one_modality_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} modalities, expected one"):
        MediaTokens(Clips(), 2, 0, [ModalitySource("a", "nowhere")] * count, unpacked)
