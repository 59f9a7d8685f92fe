"""Video tokenizers in the TokenizerModule: it learns, resumes, trains against an adversary; frames are compared."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tokenizers_vq.adversarial import (
    AdaptiveWeight,
    Adversary,
    FrameDiscriminator,
    GradientPenalty,
    LeCam,
    MultiDiscriminator,
    NonSaturating,
    PatchDiscriminator,
    VideoPatchDiscriminator,
)
from tokenizers_vq.comparison import Comparison
from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.quantizers import VectorQuantizer
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.video import CausalVideoCNN, FrameComparison


class Distance(Comparison):
    """Mean absolute difference of images."""

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        assert reconstruction.ndim == 4
        return (reconstruction - target).abs().mean()


def tokenizer() -> CausalVideoCNN:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(16, 8, decay=0.8)
    return CausalVideoCNN(quantizer, 8, 1, 16, (1,), 1, 4, (2,), kernel_time=2, max_length=4)


def batches(count: int) -> DataLoader:
    """A bright square that moves by a pixel a frame, one of four ways."""
    clips = torch.zeros(4, 5, 1, 8, 8)
    for t in range(5):
        for way, (y, x) in enumerate([(t, 0), (0, t), (4 - t, 4), (4, 4 - t)]):
            clips[way, t, :, y : y + 4, x : x + 4] = 1
    lengths = torch.tensor([5, 5, 5, 4])
    return DataLoader([{"media": clips, "lengths": lengths}] * count, batch_size=None)


def fitted(module: TokenizerModule, steps: int, folder: Path, **changes: Any) -> L.Trainer:
    trainer = L.Trainer(
        default_root_dir=folder,
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **changes,
    )
    trainer.fit(module, batches(steps), batches(1))
    return trainer


def test_it_learns_what_moves(tmp_path: Path) -> None:
    module = TokenizerModule(tokenizer(), lr=5e-3, warmup_steps=5)
    trainer = fitted(module, 100, tmp_path, gradient_clip_val=1.0)
    assert trainer.callback_metrics["val/perplexity/0"] > 1
    loaded = load_tokenizer(module.export(tmp_path / "video"))
    batch = next(iter(batches(1)))
    decoded = torch.stack(list(loaded.decode(loaded.encode(batch["media"], batch["lengths"]))))
    assert (decoded - batch["media"])[:3].abs().mean() < 0.1  # the mean video is 0.3 away


def test_adversarial_training_of_frames_and_of_time(tmp_path: Path) -> None:
    frames = FrameDiscriminator(PatchDiscriminator(channels=1, width=8, depth=1))
    adversary = Adversary(
        MultiDiscriminator([frames, VideoPatchDiscriminator(channels=1, width=8, depth=1)]),
        loss=NonSaturating(),
        weighting=AdaptiveWeight(),
        start_step=1,
        gradient_penalty=GradientPenalty(every=2),
        lecam=LeCam(),
    )
    module = TokenizerModule(
        tokenizer(),
        warmup_steps=2,
        comparisons={"distance": FrameComparison(Distance())},
        adversary=adversary,
    )
    before = {name: value.clone() for name, value in module.named_parameters()}
    trainer = fitted(module, 4, tmp_path)
    assert trainer.global_step == 4
    assert trainer.callback_metrics["train/adversarial"].isfinite()
    assert trainer.callback_metrics["train/distance"] > 0
    still = [name for name, value in module.named_parameters() if torch.equal(value, before[name])]
    assert not still


def test_comparisons_see_every_frame_or_some() -> None:
    a, b = torch.rand(2, 3, 5, 4, 4), torch.rand(2, 3, 5, 4, 4)
    torch.testing.assert_close(FrameComparison(Distance())(a, b), (a - b).abs().mean())
    torch.testing.assert_close(FrameComparison(Distance(), every=2)(a, b), (a - b)[:, :, ::2].abs().mean())
    with pytest.raises(ValueError, match="every=0"):
        FrameComparison(Distance(), every=0)
