"""Each bad input is one ValueError that names the value and what was expected."""

from __future__ import annotations

import pytest
import torch

from maskmm.pipeline import Edit, GenerationSettings, Pipeline

IMAGE = torch.rand(2, 1, 8, 8)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"video": IMAGE}, r"inputs \['video'\] are not in this checkpoint, expected some of \['image'"),
        ({"text.length": [3]}, r"inputs \['text.length'\]"),
        ({"text": "a seven"}, r"text of type str, expected a batch.*\[sample\]"),
        ({"text": []}, "text is an empty batch"),
        ({"image": torch.zeros(0, 1, 8, 8)}, "image is an empty batch"),
        ({"image": torch.tensor(1.0)}, "image is an empty batch"),
        ({"image": 3}, "image of type int"),
        ({"image": IMAGE, "text": ["one"]}, r"different sizes \{'image': 2, 'text': 1\}"),
        ({"image": torch.zeros(2, 3, 8, 8)}, r"\(2, 3, 8, 8\), expected \(B, 1, 8, 8\)"),
        ({"image": IMAGE * float("nan")}, "NaN"),
        ({"text": ["seven", ""]}, "not empty"),
        ({"speech": [torch.zeros(0)]}, "expected at least 10"),
        ([IMAGE], "inputs of type list"),
        ({}, "inputs is empty"),
    ],
)
def test_inputs(toy_pipeline: Pipeline, inputs, message) -> None:
    with pytest.raises(ValueError, match=message):
        toy_pipeline.generate(inputs, ["speech"])
    with pytest.raises(ValueError, match=message):
        toy_pipeline.extract_features(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": []}, "targets is empty"),
        ({"targets": "speech"}, r"targets='speech' is one string.*\['speech'\]"),
        ({"targets": ["video"]}, r"targets \['video'\] are not in this checkpoint"),
        ({"targets": ["text.length"]}, "text.length"),
        ({"targets": ["speech", "speech"]}, "twice"),
        ({"num_samples": 3}, r"different sizes.*'num_samples': 3"),
        ({"sample_id": [1]}, "sample_id: 1 numbers for 2 samples"),
        ({"lengths": {"image": 3}}, r"lengths \['image'\]"),
        ({"lengths": {"speech": 11}}, "length of 'speech': 11, expected a whole number from 1 to 10"),
        ({"lengths": {"speech": [3, 0]}}, "length of 'speech': 0"),
        ({"lengths": {"speech": [3, 2.5]}}, "length of 'speech': 2.5"),
        ({"targets": ["image"], "lengths": {"image": 3}}, r"always has \(4, 4\) tokens"),
        ({"lengths": {"speech": [1, 2, 3]}}, "3 numbers for 2 samples"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"num_step": 3}, r"\['num_step'\] do not exist"),
        ({"num_steps": 0}, "num_steps=0"),
        ({"num_steps": "3"}, "num_steps='3', expected int"),
        ({"num_steps": 2.5}, "num_steps=2.5, expected int"),
        ({"num_steps": True}, "num_steps=True, expected int"),
        ({"guidance_scale": "2"}, "guidance_scale='2', expected float"),
        ({"is_coarse_first": 1}, "is_coarse_first=1, expected bool"),
        ({"top_k": 2.0}, r"top_k=2.0, expected int \| None"),
        ({"seed": 1 << 63}, "seed: 9223372036854775808, expected a whole number"),
        ({"seed": "0"}, "seed: '0', expected"),
        ({"sample_id": [0, 1.5]}, "sample_id: 1.5, expected"),
        ({"temperature": -1.0}, "temperature=-1.0"),
        ({"top_k": 0}, "top_k=0"),
        ({"top_p": 1.5}, "top_p=1.5"),
        ({"schedule": "cubic"}, "schedule='cubic'"),
        ({"order": "left"}, "order='left'"),
        ({"remask": "sometimes"}, "remask='sometimes', expected 'confidence', a share"),
        ({"remask": 1.5}, "remask share=1.5"),
        ({"guidance_scale": float("nan")}, "scale=nan"),
        ({"edit": {"image": Edit(media=IMAGE, box=((0, 0), (2, 2)))}}, r"edit \['image'\]"),
    ],
)
def test_options(toy_pipeline: Pipeline, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        toy_pipeline.generate({"image": IMAGE}, **({"targets": ["speech"]} | options))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"media": IMAGE, "box": ((20, 20), (30, 30))}, "touches no token of sample 0"),
        ({"media": IMAGE, "box": ((4, 4), (2, 8))}, "start < stop"),
        ({"media": IMAGE, "span": (0.0, 1.0)}, "time span"),
        (
            {"media": IMAGE, "is_unknown": torch.ones(3, 3, dtype=torch.bool)},
            r"shape \(3, 3\), expected bool",
        ),
        ({"media": IMAGE, "is_unknown": torch.ones(4, 4)}, "torch.float32"),
        ({"media": IMAGE, "is_unknown": torch.ones(3, 4, 4, dtype=torch.bool)}, "3 patterns for 2 samples"),
        ({"codes": torch.full((2, 4, 4, 1), 99), "box": ((0, 0), (2, 2))}, "99"),
        ({"media": IMAGE[:0], "box": ((0, 0), (2, 2))}, "empty batch"),
    ],
)
def test_edits(toy_pipeline: Pipeline, edit, message) -> None:
    with pytest.raises(ValueError, match=message):
        toy_pipeline.generate({}, ["image"], edit={"image": Edit(**edit)})


def test_edits_that_contradict_themselves(toy_pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="either media or codes"):
        Edit(box=((0, 0), (2, 2)))
    with pytest.raises(ValueError, match="exactly one of box"):
        Edit(media=IMAGE)
    edit = Edit(media=IMAGE, box=((0, 0), (2, 2)))
    with pytest.raises(ValueError, match="inputs and edits at once"):
        toy_pipeline.generate({"image": IMAGE}, ["image"], edit={"image": edit})


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there(toy_pipeline: Pipeline, device: str) -> None:
    with pytest.raises(ValueError, match=f"device '{device}' does not work on this machine"):
        toy_pipeline.to(device)


def test_codes(toy_pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="video"):
        toy_pipeline.decode({"video": IMAGE})
    with pytest.raises(ValueError, match="empty batch"):
        toy_pipeline.decode({"text": []})
    with pytest.raises(ValueError, match="codes of type str"):
        toy_pipeline.decode({"text": "abc"})


def test_a_pipeline_of_parts_that_do_not_fit(toy_model, toy_tokenizers) -> None:
    with pytest.raises(ValueError, match="tokenizer 'text' has"):
        Pipeline(toy_model, {"text": toy_tokenizers["image"]})
    with pytest.raises(ValueError, match="video"):
        Pipeline(toy_model, {"video": toy_tokenizers["image"]})


def test_settings_are_json_ready() -> None:
    settings = GenerationSettings.layered({"num_steps": 4, "top_k": 3}, {"top_k": None, "order": "random"})
    assert GenerationSettings(**settings.to_dict()) == settings
    assert (settings.num_steps, settings.top_k, settings.order) == (4, 3, "random")
