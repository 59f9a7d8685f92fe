"""Samples in TensorBoard: every validation, the same conditions, and nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskmm import sample_logger
from maskmm.decoding import IterativeDecoder
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.module import MaskedModule
from maskmm.packing import Packer
from maskmm.sample_logger import SampleLogger, choose_requests
from tests.maskmm.conftest import build_tokenizers
from tests.maskmm.training import TINY, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import Key, Modality, ModalitySource, TokenBatch, Tokenizer, TokenSpec
from tokenizers_vq.image_patches import ImagePatches


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    return write_toy_data(tmp_path)


def fit(folder: Path, sources: list[ModalitySource], name: str, *callbacks: Any, **changes: Any) -> Any:
    logger = TensorBoardLogger(folder / name, name="", version="")
    trainer = build_trainer(folder, logger=logger, callbacks=list(callbacks), **changes)
    module = build_module(sources)
    torch.manual_seed(0)
    trainer.fit(module, build_data(folder, sources))
    return module


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "audio": 0, "tensors": 0, "scalars": 0})
    return found.Reload()


def test_scalars_pictures_sounds_and_texts_are_in_the_event_file(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    fit(tmp_path, sources, "run", SampleLogger(3, IterativeDecoder(2)))
    found = events(tmp_path / "run")
    tags = found.Tags()
    assert {"train/loss", "val/loss", "val/image/0/masked/bits"} <= set(tags["scalars"])
    assert [e.step for e in found.Images("samples/image")] == [3, 6]
    assert [e.step for e in found.Images("originals/image")] == [0]
    (picture, _) = found.Images("samples/image")
    assert (picture.height, picture.width) == (8 + 4, 3 * (8 + 2) + 2)
    sounds = [tag for tag in tags["audio"] if tag.startswith("samples/speech/")]
    assert len(sounds) == 3 and all(len(found.Audio(tag)) == 2 for tag in sounds)
    assert found.Audio(sounds[0])[0].sample_rate == 100
    for tag, count in (("samples/text/text_summary", 2), ("originals/text/text_summary", 1)):
        texts = [e.tensor_proto.string_val[0].decode() for e in found.Tensors(tag)]
        assert len(texts) == count
        assert all(len(text.splitlines()) == 3 and text.startswith("- from ") for text in texts)


def test_of_films_the_middle_frames_are_shown(tmp_path: Path) -> None:
    class Films(Tokenizer):
        media = "video"
        spec = TokenSpec(3, 1, ("t",), max_length=5)

        def encode(self, media: Any, lengths: Any = None) -> Any:
            return [(film.flatten(1).mean(1, keepdim=True) * 2).long() for film in media]

        def decode(self, codes: Any) -> list[torch.Tensor]:
            return [(c / 2.0)[..., None, None].expand(-1, 1, 4, 4) for c in codes]

    logger = SampleLogger()
    logger._tokenizers = {"film": Films()}
    writer = TensorBoardLogger(tmp_path, name="", version="").experiment
    codes = [torch.tensor([[0], [2], [0]]), torch.tensor([[1]])]
    logger._show(writer, "samples/film", "film", codes, ("text", "text"), 3)
    writer.flush()
    (picture,) = events(tmp_path).Images("samples/film")
    assert (picture.step, picture.height, picture.width) == (3, 4 + 4, 2 * (4 + 2) + 2)


def test_the_model_that_is_trained_is_the_same_with_and_without(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    plain = fit(tmp_path, sources, "plain")
    shown = fit(tmp_path, sources, "shown", SampleLogger(2, IterativeDecoder(2)))
    assert plain.training == shown.training
    for name, value in plain.state_dict().items():
        assert torch.equal(value, shown.state_dict()[name]), name


def test_samples_are_made_by_the_averaged_model_in_eval_mode(
    sources: list[ModalitySource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    average = EMAWeightAveraging(use_buffers=False, decay=0.5)
    seen: list[tuple[bool, bool]] = []

    def watch(model: Any, batch: TokenBatch, targets: list[str], *args: Any, **kwargs: Any) -> TokenBatch:
        # While validation runs, the average is in the model and the current weights are kept in its place.
        kept = average._average_model.module.model.norm.weight  # type: ignore[union-attr]
        seen.append((model.training, torch.equal(model.norm.weight, kept)))
        return plain(model, batch, targets, *args, **kwargs)

    plain = sample_logger.generate_tokens
    monkeypatch.setattr(sample_logger, "generate_tokens", watch)
    order = [average, SampleLogger(2, IterativeDecoder(1))]
    fit(tmp_path, sources, "run", *order, val_check_interval=8)
    assert seen == [(False, False)] * 3


def packed(sources: list[ModalitySource], samples: list[dict[str, torch.Tensor]]) -> Any:
    packer = Packer(sources, AnyToAnyMasking())
    return packer(TokenBatch.from_samples(samples, packer.vocabulary.modalities), Key(0))


def test_conditions_take_turns_and_lengths_are_left_out(sources: list[ModalitySource]) -> None:
    image, text = torch.full((4, 4, 1), 3), torch.full((5, 1), 7)
    speech = torch.full((6, 2), 2)
    whole = {"image": image, "text": text, "speech": speech}
    asked = {"image": image, "text.length": torch.tensor([4])}
    batch = packed(sources, [whole, asked, {"text": text}, whole, {"image": image, "text": text}])
    requests = choose_requests(batch, ["image", "text", "speech"], num_samples=8)
    assert requests["image"].sources == ("speech", "text", "text")
    assert requests["speech"].sources == ("image", "text")
    assert requests["text"].conditions.num_samples == 3
    assert all(torch.equal(codes, image) for codes in requests["image"].originals)
    conditions = requests["speech"].conditions.samples(batch.inputs.vocabulary.modalities)
    assert torch.equal(conditions[0]["image"][0], image) and torch.equal(conditions[1]["text"][0], text)
    assert list(conditions[0]) == ["image"]
    assert choose_requests(packed(sources, [{"text": text}]), ["text"], 2) == {}


def test_what_the_model_only_reads_is_neither_condition_nor_target(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    image, text = torch.zeros(4, 4, 1, dtype=torch.int64), torch.zeros(3, 1, dtype=torch.int64)
    batch = packed(sources, [{"image": image, "text": text}])
    seen = replace(batch, inputs=replace(batch.inputs, inputs={"image": torch.zeros(16, 5)}))
    assert set(choose_requests(batch, ["image", "text"], 2)) == {"image", "text"}
    assert set(choose_requests(seen, ["image", "text"], 2)) == {"image"}
    ImagePatches((8, 8), 4).save(tmp_path / "patches")
    callback, trainer = SampleLogger(), build_trainer(tmp_path, logger=TensorBoardLogger(tmp_path))
    module = build_module([*sources, ModalitySource("pixels", str(tmp_path / "patches"))])
    callback.setup(trainer, module, "fit")
    assert set(callback._tokenizers) == {source.name for source in sources}


def test_without_tensorboard_nothing_is_generated(sources: list[ModalitySource], tmp_path: Path) -> None:
    callback = SampleLogger()
    trainer = build_trainer(tmp_path, callbacks=[callback], logger=CSVLogger(tmp_path), max_steps=3)
    trainer.fit(build_module(sources), build_data(tmp_path, sources, num_steps=3))
    assert callback._requests is None and not callback._tokenizers


def test_what_it_cannot_work_with(sources: list[ModalitySource], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_samples=0, expected at least 1"):
        SampleLogger(0)
    modalities = [Modality(name, t.spec) for name, t in build_tokenizers().items()]
    with pytest.raises(ValueError, match="name tokenizer folders"):
        build_trainer(tmp_path, callbacks=[SampleLogger()]).fit(
            MaskedModule(modalities, TINY), build_data(tmp_path, sources)
        )


def test_its_name_in_a_config(sources: list[ModalitySource]) -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=lightning.Callback)
    told = {
        "class_path": "maskmm.sample_logger.SampleLogger",
        "init_args": {
            "num_samples": 2,
            "decoder": {"class_path": "maskmm.decoding.IterativeDecoder", "init_args": {"num_steps": 3}},
        },
    }
    built = parser.instantiate_classes(parser.parse_object({"callback": told})).callback
    assert (built.num_samples, built.decoder.num_steps) == (2, 3)
