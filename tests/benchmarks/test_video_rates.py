"""The rate-distortion rows of videos: equal tokens, the clips, the codecs, a quick run."""

from itertools import product

import numpy as np
import pytest
import torch

from benchmarks.rate_distortion.budget import Budget
from benchmarks.rate_distortion.video import CASES, codec_row, num_tokens, rows, score, trained_rows
from benchmarks.rate_distortion.video_codecs import CODECS, at_bits
from benchmarks.rate_distortion.video_data import FilmsAndDigits, FramesOfFilmsAndDigits, TakingTurns


def numbered(channels, sign):
    """Videos of one pixel that show their own number."""

    def make(number):
        return (sign * number.float())[:, None, None, None, None].expand(-1, 2, channels, 1, 1)

    return make


def moving_texture(length=6, size=48):
    texture = torch.rand(1, size, size + 4 * length, generator=torch.Generator().manual_seed(0)).expand(
        3, -1, -1
    )
    return torch.stack([texture[..., 4 * step : 4 * step + size] for step in range(length)])


def test_ours_have_no_more_tokens_than_single_frames_and_the_same_codes():
    frames, *ours = CASES
    assert frames.is_of_frames and not any(case.is_of_frames for case in ours)
    assert {num_tokens(case) for case in CASES} == {144}
    assert len({case.make().spec.codebook_size for case in CASES}) == 1


def test_an_inflated_tokenizer_counts_both_trainings():
    (case,) = (case for case in CASES if case.start is not None)
    clips = {"clips": moving_texture(16)[None]}
    (row,) = trained_rows(case, clips, Budget(is_quick=True), peer={"clips": 1.0})
    assert row["tokens"] == 144 and row["is_reached"] == (row["psnr"] > 1.0)
    assert row["steps"] > 0 and row["train_cpu_s"] > 0


def test_makers_take_turns_wherever_a_batch_begins():
    turns = TakingTurns((numbered(3, 1.0), numbered(1, -1.0)))
    videos = turns(torch.tensor([3, 4, 5, 0]))
    assert videos.shape == (4, 2, 3, 1, 1)
    assert videos[:, 0, 0, 0, 0].tolist() == [-1.0, 2.0, -2.0, 0.0]
    assert turns(torch.tensor([2])).flatten().unique().tolist() == [1.0]


def test_frames_are_those_of_the_clips():
    clips, frames = FilmsAndDigits(2, 3, 48, 6), FramesOfFilmsAndDigits(2, 3, 48, 6, num_frames=4)
    videos, batch = (data.train_dataloader().make_batch(1)["media"] for data in (clips, frames))
    assert batch.shape == (8, 3, 48, 48)
    for index, frame in enumerate(batch):
        assert any(torch.equal(frame, other) for other in videos[index // 4])
    assert len(batch[4:].flatten(1).unique(dim=0)) == 4  # the digit moves: four different frames
    again = frames.train_dataloader().make_batch(1)["media"]
    assert torch.equal(batch, again)


def test_held_out_clips_come_in_turns():
    data = FilmsAndDigits(2, 3, 48, 6, num_held_out=3)
    (batch, *_) = [data.val_dataloader().make_batch(0)["media"]]
    assert torch.equal(batch[0], data.held_out("clips", "val")[0])
    assert torch.equal(batch[1], data.held_out("moving digits", "val")[0])


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_codecs_meet_the_bits_from_above_and_count_pictures_alone(codec):
    clips = torch.stack([moving_texture(), moving_texture().flip(-1)])
    low, high = at_bits(codec, clips, 800), at_bits(codec, clips, 6000)
    assert low.clips.shape == clips.shape
    assert 800 <= low.bits < high.bits
    assert high.bits >= 6000
    assert low.stream_bits > low.bits + 100
    assert score(low.clips, clips)["psnr"] < score(high.clips, clips)["psnr"]
    small = at_bits(codec, clips, 800, shrink=2)
    assert small.clips.shape == clips.shape
    assert 800 <= small.bits < low.bits
    frames = clips[0].mul(255).byte().permute(0, 2, 3, 1).numpy()
    fine = codec.decode(codec.encode(frames, 0))
    assert fine.shape == frames.shape
    assert np.abs(fine.astype(int) - frames.astype(int)).mean() < 5


def test_a_row_of_a_codec():
    clips = moving_texture()[None]
    row = codec_row(CODECS[0], 2, "textures", clips, 800.5)
    assert (row["medium"], row["corpus"], row["case"]) == ("video", "textures", "H.264 on 1/2 size")
    assert not row["is_ours"]
    assert row["bits_with_headers"] > row["bits"] >= 801
    assert {"psnr", "psnr_mean", "ssim"} <= set(row)


def test_rows_that_are_asked_for_in_a_quick_run():
    found = list(rows(Budget(is_quick=True, only=("single", "C-ViViT"))))
    names = [(row["case"].split(",")[0], row["corpus"]) for row in found]
    assert names == list(product(("single frames", "C-ViViT"), ("clips", "moving digits")))
    assert {(row["medium"], row["tokens"], row["codes"], row["bits"]) for row in found} == {
        ("video", 144, 1000, 1435)
    }
    for peer, ours in zip(found[:2], found[2:]):
        assert ours["is_ours"] and not peer["is_ours"]
        assert ours["gain_db"] == pytest.approx(ours["psnr"] - peer["psnr"], abs=0.006)
        assert ours["is_reached"] == (ours["psnr"] > peer["psnr"])
