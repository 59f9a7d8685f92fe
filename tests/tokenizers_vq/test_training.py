from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.text import WordPieceText
from tokenizers_vq.training import TokenizerModule


class Media(L.LightningDataModule):
    """The same few batches in every run; training batch i is a function of i alone."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps

    def _loader(self, count: int) -> DataLoader:
        batches = [
            {"media": torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(i))}
            for i in range(count)
        ]
        return DataLoader(batches, batch_size=None)

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.num_steps)

    def val_dataloader(self) -> DataLoader:
        return self._loader(2)


def module() -> TokenizerModule:
    torch.manual_seed(0)
    return TokenizerModule(
        ImageVQ(16, width=8, codebook_size=16, code_dim=4, num_codebooks=2), warmup_steps=2
    )


def trainer(folder, max_steps: int, **changes) -> L.Trainer:
    settings = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    settings |= {"max_steps": max_steps, "max_epochs": -1, "enable_checkpointing": False}
    return L.Trainer(default_root_dir=folder, **(settings | changes))


def test_fit_logs_health_and_shows_pictures(tmp_path):
    shown = []
    logger = L.pytorch.loggers.TensorBoardLogger(tmp_path)
    model = module()
    run = trainer(tmp_path, 4, logger=logger, log_every_n_steps=1, max_epochs=1, num_sanity_val_steps=0)
    logger.experiment.add_image = lambda name, picture, step: shown.append((name, tuple(picture.shape)))
    run.fit(model, Media(4))
    names = set(run.logged_metrics)
    for part in ("loss", "reconstruction", "commitment", "usage/0", "perplexity/1", "dead/0", "revived/1"):
        assert f"train/{part}" in names
    for part in ("loss", "reconstruction", "usage/0", "perplexity/1", "dead/0"):
        assert f"val/{part}" in names
    assert 0 < float(run.logged_metrics["val/usage/0"]) <= 1
    assert run.global_step == 4
    assert shown == [("val/reconstruction", (1, 32, 128))]


def test_test_media_have_figures_of_their_own(tmp_path):
    media = Media(1)
    media.test_dataloader = lambda: media._loader(3)
    (figures,) = trainer(tmp_path, 1).test(module(), media, verbose=False)
    assert {"test/loss", "test/reconstruction", "test/usage/0", "test/dead/1"} <= set(figures)


def test_interrupted_and_resumed_is_uninterrupted(tmp_path):
    straight = module()
    trainer(tmp_path, 6).fit(straight, Media(6))
    first = module()
    run = trainer(tmp_path, 3)
    # The schedule looks at the total number of steps, which an interruption does not change.
    first.configure_optimizers = _with_total(first, 6)
    run.fit(first, Media(6))
    run.save_checkpoint(tmp_path / "half.ckpt", weights_only=False)
    second = module()
    media = Media(6)
    media.train_dataloader = lambda: DataLoader(Media(6)._loader(6).dataset[3:], batch_size=None)
    resumed = trainer(tmp_path, 6)
    resumed.fit(second, media, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert resumed.global_step == 6
    for name, value in straight.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def _with_total(model: TokenizerModule, total: int):
    def configure():
        real = model._trainer
        model._trainer = SimpleNamespace(estimated_stepping_batches=total)
        try:
            return TokenizerModule.configure_optimizers(model)
        finally:
            model._trainer = real

    return configure


def test_learning_rate_warms_up_and_falls():
    model = module()
    model._trainer = SimpleNamespace(estimated_stepping_batches=100)
    settings = model.configure_optimizers()
    optimizer, schedule = settings["optimizer"], settings["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] < rates[1] == max(rates) <= model.lr
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(model.lr * model.final_lr, rel=0.1)
    decay = {
        group["weight_decay"] for group in optimizer.param_groups if any(p.ndim == 1 for p in group["params"])
    }
    assert decay == {0.0}


def test_export_replaces_a_folder_whole(tmp_path):
    model = module()
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "stale").write_text("")
    assert model.export(folder) == folder
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tokenizer"]
    assert not (folder / "stale").exists()
    assert load_tokenizer(folder).fingerprint() == model.tokenizer.fingerprint()


def test_word_pieces_are_not_trained_here():
    with pytest.raises(ValueError, match="from_texts"):
        TokenizerModule(WordPieceText(["[UNK]"]))  # type: ignore[arg-type]


def test_prediction_gives_codes() -> None:
    module = TokenizerModule(ImageVQ(image_size=16, width=8, codebook_size=16, code_dim=4)).eval()
    media = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    codes = module.predict_step({"media": media}, 0)
    assert torch.equal(torch.as_tensor(codes), torch.as_tensor(module.tokenizer.encode(media)))
