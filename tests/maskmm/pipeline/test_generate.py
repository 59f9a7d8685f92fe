"""Generation through the front door: any in, any out, the same at any batch size."""

from __future__ import annotations

import pytest
import torch

import maskmm
from maskmm.decoding import IterativeDecoder, SameLengthAs
from maskmm.pipeline import Edit, Pipeline

TARGETS = [["image"], ["text"], ["speech"], ["image", "speech"], ["speech", "text"]]


def same(a, b) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b))


def fits(pipeline: Pipeline, name: str, codes) -> None:
    for sample in codes:
        pipeline.vocabulary.spec(name).check_codes(sample, name)


@pytest.mark.parametrize("targets", TARGETS)
def test_the_same_codes_at_batch_size_1_and_8(toy_pipeline, toy_media, targets) -> None:
    inputs = {"text": toy_media["text"], "image": toy_media["image"]}
    inputs = {name: batch for name, batch in inputs.items() if name not in targets}
    options = {"num_steps": 3, "guidance_scale": 2.0, "seed": 4}
    one = toy_pipeline.generate(inputs, targets, batch_size=1, **options)
    many = toy_pipeline.generate(inputs, targets, batch_size=8, **options)
    assert list(one) == targets
    for name in targets:
        assert same(one.codes[name], many.codes[name])
        fits(toy_pipeline, name, many.codes[name])


def test_media_is_the_decoded_codes(toy_pipeline, toy_media) -> None:
    out = toy_pipeline.generate({"text": toy_media["text"]}, ["image", "speech"], num_steps=2)
    assert out["image"].shape == (5, 1, 8, 8) and out.codes["image"].shape == (5, 4, 4, 1)
    assert torch.equal(out["image"], toy_pipeline.decode({"image": out.codes["image"]})["image"])
    assert [len(w) for w in out["speech"]] == [10 * len(c) for c in out.codes["speech"]]
    with pytest.raises(KeyError, match="not a target"):
        out["text"]


def test_seeds_change_the_result_and_nothing_else_does(toy_pipeline, toy_media) -> None:
    text = {"text": toy_media["text"]}
    first = toy_pipeline.generate(text, ["image"], seed=1).codes["image"]
    assert torch.equal(first, toy_pipeline.generate(text, ["image"], seed=1).codes["image"])
    assert not torch.equal(first, toy_pipeline.generate(text, ["image"], seed=2).codes["image"])


def test_a_sample_id_names_its_random_numbers(toy_pipeline, toy_media) -> None:
    text = toy_media["text"]
    all_of_them = toy_pipeline.generate({"text": text}, ["image"]).codes["image"]
    third = toy_pipeline.generate({"text": text[2:3]}, ["image"], sample_id=[2]).codes["image"]
    assert torch.equal(all_of_them[2:3], third)


def test_unconditional_generation(toy_pipeline) -> None:
    out = toy_pipeline.generate({}, ["image", "text"], num_samples=3, num_steps=2)
    assert out["image"].shape == (3, 1, 8, 8) and len(out["text"]) == 3
    assert len({tuple(c.flatten().tolist()) for c in out.codes["image"]}) == 3


def test_an_input_may_be_a_target_too(toy_pipeline, toy_media) -> None:
    out = toy_pipeline.generate({"image": toy_media["image"]}, ["image"], num_steps=2)
    given = toy_pipeline.encode({"image": toy_media["image"]})["image"]
    assert out.codes["image"].shape == given.shape and not torch.equal(out.codes["image"], given)


def test_lengths_are_kept(toy_pipeline, toy_media) -> None:
    text = {"text": toy_media["text"]}
    for lengths, expected in ((4, [4] * 5), ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])):
        for batch_size in (2, 8):
            out = toy_pipeline.generate(
                text, ["speech"], lengths={"speech": lengths}, batch_size=batch_size, num_steps=2
            )
            assert [len(c) for c in out.codes["speech"]] == expected
    by_source = {"text": SameLengthAs("speech")}
    out = toy_pipeline.generate({"speech": toy_media["speech"]}, ["text"], lengths=by_source, num_steps=2)
    assert [len(t) for t in out["text"]] == [len(w) // 10 for w in toy_media["speech"]]


def test_settings_of_the_call_win_over_those_of_the_checkpoint(toy_folder, toy_media) -> None:
    pipeline = maskmm.load(toy_folder)
    text = {"text": toy_media["text"][:1]}
    assert pipeline.generate(text, ["image", "speech"]).settings["image"].num_steps == 3
    assert pipeline.generate(text, ["image", "speech"]).settings["speech"].num_steps == 12
    assert pipeline.generate(text, ["image"], num_steps=5).settings["image"].num_steps == 5
    both = pipeline.generate(
        text,
        ["image", "speech"],
        num_steps=5,
        target_settings={"speech": {"num_steps": 2, "temperature": 0.5}},
    )
    assert (both.settings["image"].num_steps, both.settings["speech"].num_steps) == (5, 2)
    assert (both.settings["image"].temperature, both.settings["speech"].temperature) == (1.0, 0.5)
    with pytest.raises(ValueError, match="target_settings for .'speech'., expected only targets: .'image'."):
        pipeline.generate(text, ["image"], target_settings={"speech": {"num_steps": 2}})


def test_a_decoder_of_ones_own_is_used(toy_pipeline, toy_media) -> None:
    steps = []

    class Spy(IterativeDecoder):
        def decode(self, *args, **kwargs):
            steps.append(self.num_steps)
            return super().decode(*args, **kwargs)

    toy_pipeline.generate({"text": toy_media["text"]}, ["image"], decoder=Spy(2), batch_size=3)
    assert steps == [2, 2]


def test_loading_gives_an_equal_pipeline_in_eval_mode(toy_folder, toy_pipeline, toy_media) -> None:
    loaded = maskmm.load(str(toy_folder), device="cpu")
    assert not loaded.model.training and loaded.sha256 is not None
    text = {"text": toy_media["text"]}
    expected = toy_pipeline.generate(text, ["image"], num_steps=3).codes["image"]
    assert torch.equal(loaded.generate(text, ["image"]).codes["image"], expected)


@pytest.mark.parametrize("batch_size", [2, 8])
def test_editing_keeps_every_token_outside_the_box(toy_pipeline, toy_media, batch_size) -> None:
    edit = Edit(media=toy_media["image"], box=((0, 3), (4, 6)))
    out = toy_pipeline.generate(
        {"text": toy_media["text"]}, ["image"], edit={"image": edit}, num_steps=2, batch_size=batch_size
    )
    before = toy_pipeline.encode({"image": toy_media["image"]})["image"]
    is_inside = torch.zeros(4, 4, dtype=torch.bool)
    is_inside[0:2, 1:3] = True  # tokens of 2 x 2 pixels: every one that the box touches
    changed = (out.codes["image"] != before)[..., 0]
    assert not bool(changed[:, ~is_inside].any())
    assert bool(changed[:, is_inside].any())


def test_editing_speech_by_seconds_and_text_by_tokens(toy_pipeline, toy_media) -> None:
    before = toy_pipeline.encode(toy_media)
    out = toy_pipeline.generate(
        {}, ["speech"], edit={"speech": Edit(media=toy_media["speech"], span=(0.0, 0.15))}, num_steps=2
    )
    for old, new in zip(before["speech"], out.codes["speech"]):
        assert torch.equal(old[2:], new[2:])
    patterns = [torch.arange(len(text)) == len(text) - 1 for text in toy_media["text"]]
    edit = Edit(codes=before["text"], is_unknown=patterns)
    out = toy_pipeline.generate({}, ["text"], edit={"text": edit}, batch_size=2)
    assert [new[:-1] for new in out["text"]] == [old[:-1] for old in toy_media["text"]]


def test_one_pattern_may_serve_all_samples(toy_pipeline, toy_media) -> None:
    is_unknown = torch.eye(4, dtype=torch.bool)
    shared = Edit(media=toy_media["image"], is_unknown=is_unknown)
    each = Edit(media=toy_media["image"], is_unknown=is_unknown.expand(5, 4, 4))
    a, b = (toy_pipeline.generate({}, ["image"], edit={"image": e}).codes["image"] for e in (shared, each))
    assert torch.equal(a, b)


def test_codes_go_out_and_in(toy_pipeline, toy_media) -> None:
    codes = toy_pipeline.encode(toy_media, batch_size=2)
    assert codes["image"].shape == (5, 4, 4, 1) and isinstance(codes["speech"], list)
    media = toy_pipeline.decode(codes, batch_size=2)
    assert media["text"] == toy_media["text"]
    assert same(toy_pipeline.encode(media)["speech"], codes["speech"])


@pytest.mark.parametrize("remask", ["confidence", 0.5])
def test_remasking_is_a_setting(toy_pipeline, toy_media, remask) -> None:
    text = {"text": toy_media["text"]}
    plain = toy_pipeline.generate(text, ["image"], num_steps=6)
    out = toy_pipeline.generate(text, ["image"], num_steps=6, remask=remask)
    assert out.settings["image"].remask == remask
    assert not torch.equal(out.codes["image"], plain.codes["image"])
