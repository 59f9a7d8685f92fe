"""The front door on a GPU: what comes out lies on the CPU and agrees with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import maskmm

GOLDEN = Path(__file__).parents[2] / "golden" / "format_v1"
TEXTS = ["a seven", "the digit two", "two"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_agrees_with_the_cpu() -> None:
    on_cpu, on_gpu = maskmm.load(GOLDEN), maskmm.load(GOLDEN, device="cuda")
    features = [p.extract_features({"text": TEXTS}, pool="cls")["text"] for p in (on_cpu, on_gpu)]
    torch.testing.assert_close(features[0], features[1], atol=1e-3, rtol=1e-3)
    made = on_gpu.generate({"text": TEXTS}, ["image", "speech"], guidance_scale=2.0)
    assert made["image"].device.type == "cpu" and made.codes["image"].device.type == "cpu"
    assert all(clip.device.type == "cpu" for clip in made["speech"])
    again = on_gpu.generate({"image": made["image"], "speech": made["speech"]}, ["text"])
    assert len(again["text"]) == len(TEXTS)
