"""Clips at other speeds."""

from __future__ import annotations

import torch

from datamodules.corpora.digits.speed import SPEEDS, perturb_speed
from tokenizers_vq.contract import Key


def tone(length: int) -> torch.Tensor:
    return 0.5 * torch.sin(torch.arange(length) * (2 * torch.pi * 440 / 16000))


def test_length_and_pitch_change_together() -> None:
    (fast,) = perturb_speed([tone(16000)], Key(0), torch.tensor([3]))
    speed = 16000 / len(fast)
    assert any(abs(speed - float(s)) < 1e-3 for s in SPEEDS)
    peak = torch.fft.rfft(fast).abs().argmax() * 16000 / len(fast)
    assert abs(float(peak) - 440 * speed) < 2
    assert float(fast.abs().max()) <= 1.0


def test_a_clip_gets_the_same_speed_in_any_company_and_others_by_key() -> None:
    clips = [tone(4000 + 100 * i) for i in range(30)]
    ids = torch.arange(30)
    whole = perturb_speed(clips, Key(1), ids)
    alone = perturb_speed([clips[7]], Key(1), ids[7:8])
    assert torch.equal(whole[7], alone[0])
    other = perturb_speed(clips, Key(2), ids)
    assert [len(x) for x in whole] != [len(x) for x in other]
    assert len({round(len(c) / len(x), 2) for c, x in zip(clips, whole)}) == len(SPEEDS)
