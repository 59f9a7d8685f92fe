"""MaskedModule in a trainer: what it logs, its weights, averaged validation, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from maskmm import half_precision
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.module import MaskedModule
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.packing import Packer
from maskmm.pipeline import Pipeline
from tests.maskmm.conftest import build_tokenizers
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, part_of, write_toy_data
from tokenizers_vq.contract import Modality, ModalitySource


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    return write_toy_data(tmp_path)


def test_loss_accuracy_and_bits_of_each_codebook_are_logged(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    trainer = build_trainer(tmp_path, max_steps=20, log_every_n_steps=1, val_check_interval=20)
    trainer.fit(
        build_module(sources, objective=MaskedCrossEntropy(0.1)), build_data(tmp_path, sources, num_steps=20)
    )
    names = {"train/loss", "val/loss"}
    for part in ("image/0", "text/0", "speech/0", "speech/1", "text.length/0", "speech.length/0"):
        names |= {
            f"{split}/{part}/masked/{m}" for split in ("train", "val") for m in ("loss", "accuracy", "bits")
        }
    assert names <= set(trainer.logged_metrics)
    assert all(bool(torch.isfinite(value)) for value in trainer.logged_metrics.values())
    assert 0 <= float(trainer.logged_metrics["val/image/0/masked/accuracy"]) <= 1


def test_validation_takes_the_averaged_weights(sources: list[ModalitySource], tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Watch(lightning.Callback):
        def on_validation_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            seen.append(pl_module.model.norm.weight.detach().clone())

    average = EMAWeightAveraging(use_buffers=False, decay=0.5)
    trainer = build_trainer(
        tmp_path, callbacks=[average, Watch()], num_sanity_val_steps=0, val_check_interval=8
    )
    module = build_module(sources)
    trainer.fit(module, build_data(tmp_path, sources, val_batches=1))
    assert average._average_model is not None
    assert torch.equal(seen[-1], average._average_model.module.model.norm.weight)


def test_averages_leave_whole_numbers_alone(sources: list[ModalitySource], tmp_path: Path) -> None:
    module, data = build_module(sources), build_data(tmp_path, sources)
    with pytest.raises(ValueError, match="averages buffers too .*give it use_buffers=False"):
        build_trainer(tmp_path, callbacks=[EMAWeightAveraging(decay=0.9)]).fit(module, data)
    average = EMAWeightAveraging(use_buffers=False, decay=0.9)
    build_trainer(tmp_path, callbacks=[average], max_steps=8).fit(module, data)
    assert average._average_model is not None
    averaged = dict(average._average_model.module.named_buffers())
    whole = {n: b for n, b in module.named_buffers() if not b.is_floating_point() and not n.endswith("step")}
    assert whole and all(torch.equal(averaged[name], buffer) for name, buffer in whole.items())


def test_the_loss_falls_and_the_seed_decides(sources: list[ModalitySource], tmp_path: Path) -> None:
    def fit(seed: int) -> tuple[float, float, torch.Tensor]:
        module = build_module(sources, seed=seed)
        data = build_data(tmp_path, sources, num_steps=15)
        trainer = build_trainer(tmp_path, max_steps=15, val_check_interval=100)
        torch.manual_seed(0)
        (before,) = trainer.validate(module, data, verbose=False)
        trainer.fit(module, data)
        (after,) = trainer.validate(module, data, verbose=False)
        return before["val/loss"], after["val/loss"], module.model.norm.weight.detach()

    first, second, other = fit(1), fit(1), fit(2)
    assert first[1] < first[0]
    assert first[1] == second[1] and torch.equal(first[2], second[2])
    assert not torch.equal(first[2], other[2])


def test_building_leaves_global_randomness_alone(sources: list[ModalitySource]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_module(sources)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = build_module(sources)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


def test_weights_of_the_loss(sources: list[ModalitySource]) -> None:
    assert build_module(sources).weights == {"text.length": 0.1, "speech.length": 0.1}
    given = {"text.length": 0.3, "image": 2.0, "speech/1": 0.5, "speech/0/masked": 0.0}
    assert build_module(sources, weights=given).weights == given | {"speech.length": 0.1}
    for bad in ("video", "speech/2", "video/0"):
        with pytest.raises(ValueError, match=rf"weights for \['{bad}'\], expected names among"):
            build_module(sources, weights={bad: 1.0})


def test_code_vectors_start_the_embedding(sources: list[ModalitySource], monkeypatch: Any) -> None:
    plain = build_module(sources).model.embedding.codes.weight
    vectors = torch.randn(1, 8, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("tests.maskmm.conftest.ToyImage.code_vectors", lambda self: vectors)
    module = build_module(sources, code_vector_std=0.5)
    table, ids = module.model.embedding.codes.weight, module.vocabulary.slice("image", 0)
    is_changed = (table != plain).any(dim=1)
    assert is_changed.nonzero().flatten().tolist() == list(range(ids.start, ids.stop))
    modalities = [Modality(name, t.spec) for name, t in build_tokenizers().items()]
    with pytest.raises(ValueError, match="needs modalities with tokenizer folders"):
        MaskedModule(modalities, TINY, code_vector_std=0.5)
    assert MaskedModule(modalities, TINY).sources == []


def test_clipping_is_done_once_and_by_norm(sources: list[ModalitySource], tmp_path: Path) -> None:
    norms: list[float] = []

    class Watch(lightning.Callback):
        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
            grads = [p.grad.norm() for p in pl_module.parameters() if p.grad is not None]
            norms.append(float(torch.stack(grads).norm()))

    class Scaled(MaskedModule):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            return 1000 * super().training_step(batch, batch_idx)

        def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
            super().configure_gradient_clipping(*args, **kwargs)
            norms.append(
                float(torch.stack([p.grad.norm() for p in self.parameters() if p.grad is not None]).norm())
            )

    trainer = build_trainer(tmp_path, callbacks=[Watch()], gradient_clip_val=0.25, max_steps=3)
    trainer.fit(Scaled(sources, TINY), build_data(tmp_path, sources, num_steps=3))
    before, after = norms[::2], norms[1::2]
    assert min(before) > 1 and after == pytest.approx([0.25] * 3, rel=1e-4)


def test_the_test_split_has_figures_of_its_own(sources: list[ModalitySource], tmp_path: Path) -> None:
    module, data = build_module(sources), build_data(tmp_path, sources)
    trainer = build_trainer(tmp_path)
    (first,) = trainer.test(module, data, verbose=False)
    (second,) = trainer.test(module, data, verbose=False)
    (validated,) = trainer.validate(module, data, verbose=False)
    assert first == second
    assert {"test/loss", "test/image/0/masked/accuracy"} <= set(first)
    assert first["test/loss"] != validated["val/loss"]


def test_validation_does_not_depend_on_the_batch_size(sources: list[ModalitySource], tmp_path: Path) -> None:
    """Sums and counts over the whole split, not means of means."""
    module, trainer = build_module(sources), build_trainer(tmp_path)
    losses = []
    for batches in (1, 4):
        batch = build_data(tmp_path, sources).batches("val")(0)
        parts = [part_of(batch, index.tolist()) for index in torch.arange(8).chunk(batches)]
        loader = torch.utils.data.DataLoader(parts, batch_size=None)  # type: ignore[arg-type]
        trainer.validate(module, loader, verbose=False)
        losses.append(float(trainer.logged_metrics["val/loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_precisions_train(
    sources: list[ModalitySource], tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_precision, "has_fast_bf16", lambda: True)
    trainer = build_trainer(tmp_path, max_steps=3, log_every_n_steps=1, precision=precision)
    module = build_module(sources)
    trainer.fit(module, build_data(tmp_path, sources, num_steps=3))
    assert bool(torch.isfinite(trainer.logged_metrics["train/loss"]))
    assert all(p.dtype == torch.float32 and bool(p.isfinite().all()) for p in module.parameters())


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("algorithm", [None, "norm", "value"])
def test_gradients_of_a_fused_optimizer_are_clipped(
    sources: list[ModalitySource],
    tmp_path: Path,
    algorithm: str | None,
    precision: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(half_precision, "has_fast_bf16", lambda: True)
    clipping = {"gradient_clip_val": 1e-3, "gradient_clip_algorithm": algorithm}
    trainer = build_trainer(tmp_path, max_steps=1, precision=precision, **clipping)
    module = build_module(sources)
    trainer.fit(module, build_data(tmp_path, sources, num_steps=1))
    assert trainer.optimizers[0].defaults["fused"]
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    largest = max(float(g.abs().max()) for g in gradients)
    norm = float(torch.stack([g.norm() for g in gradients]).norm())
    assert (largest if algorithm == "value" else norm) == pytest.approx(1e-3, rel=1e-3)
    assert (norm > 2e-3) == (algorithm == "value")


def test_float16_is_clipped_by_lightning_which_takes_no_fused_optimizer(
    sources: list[ModalitySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build_module(sources)
    trainer = SimpleNamespace(precision="16-mixed", estimated_stepping_batches=10)
    monkeypatch.setattr(MaskedModule, "trainer", trainer)
    optimizer = module.configure_optimizers()["optimizer"]
    assert not optimizer.defaults["fused"]
    assert not getattr(optimizer, "_step_supports_amp_scaling", False)


def test_precision_that_the_cpu_emulates_is_refused_before_the_first_step(
    sources: list[ModalitySource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half_precision, "has_fast_bf16", lambda: False)
    trainer = build_trainer(tmp_path, max_steps=1, precision="bf16-mixed")
    with pytest.raises(ValueError, match="bf16-mixed.*AVX512-BF16.*32-true"):
        trainer.fit(build_module(sources), build_data(tmp_path, sources, num_steps=1))


def test_prediction_gives_features_of_the_test_batches(sources: list[ModalitySource], tmp_path: Path) -> None:
    module, data = build_module(sources), build_data(tmp_path, sources, val_batches=2)
    trainer = build_trainer(tmp_path)
    batches = trainer.predict(module, data)
    assert batches is not None and len(batches) == 2
    assert all(features.shape[1] == module.model.config.width for features in batches)


def test_without_cls_module_and_packer_agree_or_say_so(sources: list[ModalitySource], tmp_path: Path) -> None:
    without = Packer(sources, AnyToAnyMasking(), has_cls=False)
    data = build_data(tmp_path, sources, num_steps=2, collate=without)
    module = build_module(sources, has_cls=False)
    build_trainer(tmp_path, max_steps=2).fit(module, data)
    pipeline = Pipeline(module.model, build_tokenizers())
    assert len(pipeline.generate({"text": ["a seven"]}, ["image"])["image"]) == 1
    with pytest.raises(ValueError, match="pack it with model.vocabulary"):
        build_trainer(tmp_path, max_steps=2).fit(build_module(sources), data)


def test_a_fit_warns_of_nothing(
    sources: list[ModalitySource], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    build_trainer(tmp_path, max_steps=2).fit(
        build_module(sources), build_data(tmp_path, sources, num_steps=2)
    )
    assert [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)] == []
