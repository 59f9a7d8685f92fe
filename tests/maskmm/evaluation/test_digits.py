import io
from typing import Any

import numpy as np
import pytest
import torch

from datamodules.corpora.digits import captions
from maskmm.evaluation.digits import DigitSettings, EvaluationSizes, Samples, evaluate_digits
from maskmm.evaluation.digits.tokenizers import codes_used
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Scores
from maskmm.evaluation.table import write_table
from tokenizers_vq.contract import TokenSpec

TOY = EvaluationSizes(
    text_to_image=60, text_to_speech=30, unconditional=50, inpainting=10, held_out=30, training=200
)
HERE = Provenance("pytest", {}, {})


@pytest.fixture(scope="module")
def pipeline(make_pipeline: Any) -> Any:
    return make_pipeline()


@pytest.fixture(scope="module")
def result(pipeline: Any, corpus: Any) -> tuple[Scores, Samples]:
    settings = DigitSettings(image_to_text={"temperature": 0.5}, probe_layers=((0,), (-1,)), probe_pool="map")
    return evaluate_digits(pipeline, corpus, captions, 0, TOY, settings, HERE)


def test_real_media_meet_what_real_media_can_meet(result: tuple[Scores, Samples]) -> None:
    scores, _ = result
    missed = {row.name for row in scores.missed}
    assert missed <= {"text -> image coverage (training images = 1)"}, missed
    for name in ("image -> text names the digit", "speech -> text names the digit", "captions well-formed"):
        assert scores[name].value == 1.0
    assert scores["image reconstruction judged as the original"].value == 1.0
    assert scores["text -> image is the digit"].value > 0.98


def test_counts_seeds_and_intervals(result: tuple[Scores, Samples]) -> None:
    scores, _ = result
    assert scores["text -> image is the digit"].count == 60
    assert scores["text -> speech is the word (SVM)"].count == 30
    assert scores["captions well-formed"].count == 60
    assert scores["unconditional images judged 3"].count == 50
    assert scores["unconditional images judged 3"].value == pytest.approx(0.1)
    for row in scores:
        assert row.seeds == (0,)
        if row.name.endswith("codebook used"):
            continue
        assert row.interval is not None
        assert row.interval[0] <= row.value <= row.interval[1], row


def test_codebook_usage_counts_training_and_validation(result: tuple[Scores, Samples], corpus: Any) -> None:
    scores, _ = result
    count = len(corpus.images("train").labels) + len(corpus.images("val").labels)
    assert scores["image codebook used"].value == pytest.approx(((count + 1) // 2) / 400)
    spec = TokenSpec(8, 2, ("t",), max_length=9)
    codes = [torch.tensor([[0, 0], [1, 0]]), torch.tensor([[1, 7]])]
    assert codes_used(codes, spec) == 4


def test_probe_layer_is_chosen_on_the_training_set_and_held_to_pixels(result: tuple[Scores, Samples]) -> None:
    scores, _ = result
    features, pixels = scores["linear probe on image features"], scores["linear probe on raw pixels"]
    assert "layers [-1]" in features.note  # layer 0 of the stand-in is constant
    assert features.value == pixels.value == features.floor
    assert features.goal == 0.97


def test_settings_and_seeds_reach_the_pipeline(pipeline: Any, result: tuple[Scores, Samples]) -> None:
    by_target = {(tuple(r["inputs"]), r["targets"][-1], "edit" in r): r for r in pipeline.requests}
    assert by_target[("text",), "image", False]["num_steps"] == 12
    assert by_target[("image",), "text", False]["temperature"] == 0.5
    assert "num_steps" not in by_target[("image",), "text", False]
    seeds = [request["seed"] for request in pipeline.requests]
    assert len(set(seeds)) == len(seeds) == 9


def test_images_from_nothing_have_their_captions_drawn_first(
    pipeline: Any, result: tuple[Scores, Samples]
) -> None:
    scores, samples = result
    both, alone = (r for r in pipeline.requests if r.get("num_samples"))
    assert (both["targets"], alone["targets"]) == (["text", "image"], ["image"])
    assert not both["inputs"] and not alone["inputs"]
    assert both["target_settings"]["text"] == DigitSettings().unconditional_text
    made = samples.unconditional
    assert made.is_right.all() and len(made) == len(samples.image_alone) == 50
    row = scores["images without a caption judged 3"]
    assert row.count == 50 and row.is_met is None


def test_inpainting_hides_the_lower_half(pipeline: Any, result: tuple[Scores, Samples]) -> None:
    edit = next(r["edit"]["image"] for r in pipeline.requests if "edit" in r)
    assert edit.box == ((16, 0), (32, 32))
    assert result[1].hidden_rows == (16, 32)
    assert len(result[1].inpainting) == 10


def test_same_seed_same_figures(result: tuple[Scores, Samples], make_pipeline: Any, corpus: Any) -> None:
    settings = DigitSettings(image_to_text={"temperature": 0.5}, probe_layers=((0,), (-1,)), probe_pool="map")
    again, samples = evaluate_digits(make_pipeline(), corpus, captions, 0, TOY, settings, HERE)
    assert again == result[0]
    assert samples.text_to_image.sources == result[1].text_to_image.sources


def test_captions_cover_all_digits_and_many_wordings(result: tuple[Scores, Samples]) -> None:
    asked = result[1].text_to_image
    assert np.bincount(asked.labels, minlength=10).tolist() == [6] * 10
    assert len(set(asked.sources)) > 30


def test_a_model_that_always_says_seven_is_found_out(make_pipeline: Any, corpus: Any) -> None:
    always_seven = make_pipeline(dict.fromkeys(range(10), 7))
    scores, _ = evaluate_digits(always_seven, corpus, captions, 0, TOY, provenance=HERE)
    missed = {row.name for row in scores.missed}
    assert {
        "text -> image is the digit",
        "image -> text names the digit",
        "speech -> image is the digit",
    } <= missed
    assert {"unconditional images judged 7", "unconditional images judged 0"} <= missed
    assert scores["text -> image is the digit"].value == pytest.approx(0.1, abs=0.05)
    assert scores["text -> image coverage (training images = 1)"].value < 0.5
    assert scores["captions well-formed"].value == 1.0


def test_table_holds_every_row(result: tuple[Scores, Samples]) -> None:
    stream = io.StringIO()
    write_table(result[0], stream)
    assert len(stream.getvalue().splitlines()) >= len(result[0].rows) + 2
    assert max(len(line) for line in stream.getvalue().splitlines()) <= 120


def test_sizes_and_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="text_to_speech=9"):
        EvaluationSizes(text_to_speech=9)
    with pytest.raises(ValueError, match="num_steps=16"):
        DigitSettings(text_to_image={"num_steps": 16})
    with pytest.raises(ValueError, match="num_steps=None"):
        DigitSettings(text_to_image={})
    with pytest.raises(ValueError, match="probe_layers"):
        DigitSettings(probe_layers=())
