"""Continuous patches of images and of sound: what they hold, in which order, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torchaudio.compliance.kaldi import fbank

from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.image_patches import ImagePatches


def test_image_patches_are_what_a_strided_convolution_reads(tmp_path: Path) -> None:
    tokenizer = ImagePatches((8, 12), 4, mean=(0.2, 0.4, 0.6), std=(0.5, 0.25, 1.0), codebook_size=7)
    images = torch.rand(2, 3, 8, 12)
    kernel = torch.randn(5, 3, 4, 4)
    mean, std = torch.tensor([0.2, 0.4, 0.6])[:, None, None], torch.tensor([0.5, 0.25, 1.0])[:, None, None]
    expected = F.conv2d((images - mean) / std, kernel, stride=4).flatten(2).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(tokenizer.inputs(images) @ kernel.flatten(1).T, expected)
    assert tokenizer.spec.shape() == (2, 3) and not tokenizer.has_encoder and not tokenizer.has_decoder
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.config() == tokenizer.config()
    assert torch.equal(again.inputs(images), tokenizer.inputs(images))


def test_bad_images_are_refused() -> None:
    tokenizer = ImagePatches((8, 8), 4)
    with pytest.raises(ValueError, match=r"images of shape \(1, 3, 8, 9\), expected \(B, 3, 8, 8\)"):
        tokenizer.inputs(torch.zeros(1, 3, 8, 9))
    with pytest.raises(ValueError, match="image values from 0 to 255"):
        tokenizer.inputs(torch.linspace(0, 255, 192).view(1, 3, 8, 8))
    assert tokenizer.encode(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 2, 0)
    with pytest.raises(ValueError, match="expected a tokenizer that makes codes"):
        ImagePatches((8, 8), 4, codebook_size=5).encode(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="no decoder"):
        tokenizer.decode(torch.zeros(1, 2, 2, 1))
    with pytest.raises(ValueError, match="expected two multiples of patch_size=5"):
        ImagePatches((8, 8), 5)
    with pytest.raises(ValueError, match="one each a channel"):
        ImagePatches((8, 8), 4, mean=(0.5,), std=(0.0,))


def test_fbank_patches_are_squares_of_the_filter_bank(tmp_path: Path) -> None:
    tokenizer = FbankPatches(32, 8, max_seconds=2.0)
    clips = [torch.rand(9000) * 2 - 1, torch.rand(16000) * 2 - 1]
    codes, inputs = tokenizer.encode(clips), tokenizer.inputs(clips)
    banks = [(fbank(c[None] * 32768, num_mel_bins=32) - 15.41663) / (2 * 6.55582) for c in clips]
    steps = [bank.shape[0] // 8 for bank in banks]
    assert [tuple(c.shape) for c in codes] == [(n, 4, 0) for n in steps]
    first = 4 * steps[0]
    for rows, bank, count in ((inputs[:first], banks[0], steps[0]), (inputs[first:], banks[1], steps[1])):
        for t in range(count):
            for f in range(4):
                square = bank[t * 8 : t * 8 + 8, f * 8 : f * 8 + 8]
                torch.testing.assert_close(rows[t * 4 + f], square.flatten(), atol=1e-4, rtol=1e-4)
    tokenizer.save(tmp_path)
    assert torch.equal(load_tokenizer(tmp_path).inputs(clips), inputs)
    assert tokenizer.spec.tokens_of_span(0.0, 0.08, (2, 4)).tolist() == [[True] * 4, [False] * 4]


def test_bad_clips_are_refused() -> None:
    tokenizer = FbankPatches(max_seconds=1.0)
    with pytest.raises(ValueError, match="clips of 2799 to 2799 samples, expected 2800 to 16000"):
        tokenizer.inputs([torch.zeros(2799)])
    with pytest.raises(ValueError, match="no decoder"):
        tokenizer.decode([])
    with pytest.raises(ValueError, match="num_bands=20 must be a multiple of patch_size=16"):
        FbankPatches(20)
