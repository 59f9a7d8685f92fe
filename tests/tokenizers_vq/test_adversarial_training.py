"""Two optimizers in Lightning: what a step is, exact resume, averaged weights."""

from dataclasses import replace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from tokenizers_vq.adversarial import (
    AdaptiveWeight,
    Adversary,
    GradientPenalty,
    LeCam,
    NonSaturating,
    PatchDiscriminator,
)
from tokenizers_vq.comparison import Comparison
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.training import TokenizerModule


class Offset(Comparison):
    def forward(self, reconstruction, target):
        return (reconstruction.mean() - target.mean()).abs()


class Untold(ImageVQ):
    def forward(self, media, lengths=None):
        return replace(super().forward(media, lengths), target=None)

    def last_layer(self):
        return None


def batches(first: int, last: int) -> DataLoader:
    made = [
        {"media": torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(i))}
        for i in range(first, last)
    ]
    return DataLoader(made, batch_size=None)


def tokenizer(kind=ImageVQ) -> ImageVQ:
    torch.manual_seed(0)
    return kind(16, width=8, codebook_size=16, code_dim=4)


def module(**changes) -> TokenizerModule:
    torch.manual_seed(1)
    settings = {
        "weighting": AdaptiveWeight(),
        "loss": NonSaturating(),
        "start_step": 1,
        "generator_delay": 1,
        "gradient_penalty": GradientPenalty(every=2),
        "lecam": LeCam(),
    }
    adversary = Adversary(PatchDiscriminator(channels=1, width=8, depth=1), **(settings | changes))
    return TokenizerModule(
        tokenizer(), warmup_steps=2, final_lr=1.0, comparisons={"offset": Offset()}, adversary=adversary
    )


def trainer(folder, max_steps: int, **changes) -> L.Trainer:
    settings = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    settings |= {
        "max_steps": max_steps,
        "max_epochs": -1,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
    }
    return L.Trainer(default_root_dir=folder, **(settings | changes))


def test_a_step_is_a_batch_and_both_learn(tmp_path):
    model = module()
    before = {name: value.clone() for name, value in model.named_parameters()}
    run = trainer(tmp_path, 4)
    run.fit(model, batches(0, 9))
    assert run.global_step == 4
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert any(name.startswith("tokenizer.") for name in moved)
    assert any(name.startswith("adversary.discriminator.") for name in moved)
    logged = set(run.logged_metrics)
    for name in (
        "adversarial",
        "discriminator",
        "lecam",
        "adaptive_weight",
        "offset",
        "usage/0",
        "revived/0",
    ):
        assert f"train/{name}" in logged
    assert all(p.requires_grad for p in model.adversary.discriminator.parameters())


def test_before_the_start_it_is_plain_training(tmp_path):
    against, plain = module(start_step=100), TokenizerModule(tokenizer(), warmup_steps=2, final_lr=1.0)
    against.comparisons.clear()
    trainer(tmp_path, 3).fit(against, batches(0, 3))
    trainer(tmp_path, 3, gradient_clip_val=1.0).fit(plain, batches(0, 3))
    for a, b in zip(against.tokenizer.parameters(), plain.tokenizer.parameters()):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("callbacks", [list, lambda: [EMAWeightAveraging(decay=0.5)]])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, callbacks):
    straight = module()
    trainer(tmp_path, 6, callbacks=callbacks()).fit(straight, batches(0, 6))
    saved = trainer(tmp_path, 6, callbacks=[*callbacks(), SaveAt(3, tmp_path / "half.ckpt")])
    saved.fit(module(), batches(0, 6))
    second = module()
    resumed = trainer(tmp_path, 6, callbacks=callbacks())
    resumed.fit(second, batches(3, 6), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert resumed.global_step == 6
    assert len(resumed.optimizers) == 2
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


class SaveAt(L.Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)


def test_averaged_weights_differ_from_trained_ones(tmp_path):
    averaged, trained = module(), module()
    trainer(tmp_path, 4, callbacks=[EMAWeightAveraging(decay=0.9)]).fit(averaged, batches(0, 4))
    trainer(tmp_path, 4).fit(trained, batches(0, 4))
    name = "tokenizer.decoder.0.weight"
    assert not torch.equal(averaged.state_dict()[name], trained.state_dict()[name])


def test_a_tokenizer_must_tell_what_is_compared(tmp_path):
    with pytest.raises(ValueError, match="last_layer"):
        TokenizerModule(tokenizer(Untold), adversary=module().adversary)
    for settings in ({"comparisons": {"offset": Offset()}}, {"adversary": Adversary(PatchDiscriminator(1))}):
        with pytest.raises(ValueError, match="target"):
            trainer(tmp_path, 1).fit(TokenizerModule(tokenizer(Untold), **settings), batches(0, 1))
