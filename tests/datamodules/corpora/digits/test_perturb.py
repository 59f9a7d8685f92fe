"""Clips heard as other voices."""

from __future__ import annotations

import torch

from datamodules.corpora.digits.perturb import SPEEDS, perturb_voices
from tokenizers_vq.contract import Key


def tone(length: int) -> torch.Tensor:
    return 0.5 * torch.sin(torch.arange(length) * (2 * torch.pi * 440 / 16000))


def test_length_and_pitch_change_together() -> None:
    (fast,) = perturb_voices([tone(16000)], Key(0), torch.tensor([3]))
    speed = 16000 / len(fast)
    assert any(abs(speed - float(s)) < 1e-3 for s in SPEEDS)
    peak = torch.fft.rfft(fast).abs().argmax() * 16000 / len(fast)
    assert abs(float(peak) - 440 * speed) < 2
    torch.testing.assert_close(fast.abs().max(), tone(16000).abs().max())


def test_the_filter_changes_the_balance_of_frequencies_by_at_most_20_db() -> None:
    noise = torch.randn(64000, generator=torch.Generator().manual_seed(0))
    for clip in perturb_voices([noise] * 4, Key(5), torch.arange(4)):
        power_F = torch.fft.rfft(clip).abs().square()
        bands_db = 10 * torch.stack([band.mean() for band in power_F.chunk(12)]).log10()
        assert 2 < float(bands_db.max() - bands_db.min()) < 21


def test_silence_stays_silence() -> None:
    (clip,) = perturb_voices([torch.zeros(800)], Key(0), torch.tensor([0]))
    assert float(clip.abs().max()) == 0.0


def test_a_clip_becomes_the_same_voice_in_any_company_and_others_by_key() -> None:
    clips = [tone(4000 + 100 * i) for i in range(30)]
    ids = torch.arange(30)
    whole = perturb_voices(clips, Key(1), ids)
    alone = perturb_voices([clips[7]], Key(1), ids[7:8])
    assert torch.equal(whole[7], alone[0])
    other = perturb_voices(clips, Key(2), ids)
    assert [len(x) for x in whole] != [len(x) for x in other]
    assert len({round(len(c) / len(x), 2) for c, x in zip(clips, whole)}) == len(SPEEDS)
