"""The front door with the tokenizers of the package: equal at any batch size, and their refusals reach the caller."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import maskmm

GOLDEN = Path(__file__).parents[2] / "golden" / "format_v1"
TEXTS = ["a seven", "the digit two", "two", "the seven", "seven two a"]


@pytest.fixture(scope="module")
def pipeline() -> maskmm.Pipeline:
    return maskmm.load(GOLDEN)


def test_batch_size_changes_nothing(pipeline) -> None:
    one, many = (
        pipeline.generate({"text": TEXTS}, ["speech", "image"], batch_size=size, seed=3) for size in (1, 8)
    )
    assert torch.equal(one.codes["image"], many.codes["image"])
    assert [c.tolist() for c in one.codes["speech"]] == [c.tolist() for c in many.codes["speech"]]
    torch.testing.assert_close(one["image"], many["image"], atol=1e-5, rtol=1e-5)


def test_a_chain_through_all_modalities(pipeline) -> None:
    made = pipeline.generate({"text": TEXTS}, ["image", "speech"])
    back = pipeline.generate({"image": made["image"], "speech": made["speech"]}, ["text"])
    assert all(isinstance(text, str) and text for text in back["text"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"image": torch.zeros(1, 1, 16, 16, dtype=torch.uint8)}, "dtype torch.uint8"),
        ({"image": torch.zeros(1, 1, 32, 32)}, r"\(1, 1, 32, 32\), expected \(B, 1, 16, 16\)"),
        ({"image": torch.full((1, 1, 16, 16), float("nan"))}, "nan"),
        ({"image": torch.full((1, 1, 16, 16), 7.0)}, "7"),
        ({"text": [""]}, "holds no word"),
        ({"text": [3]}, "list of str"),
        ({"text": ["seven " * 9]}, "word pieces"),
        ({"speech": [torch.zeros(0)]}, "empty|expected"),
        ({"speech": [torch.full((700,), float("nan"))]}, "(?i)nan"),
        ({"speech": [torch.zeros(700, dtype=torch.int16)]}, "int16"),
        ({"speech": [torch.zeros(2, 700)]}, r"\(2, 700\)"),
    ],
)
def test_media_that_tokenizers_refuse(pipeline, inputs, message) -> None:
    for call in (pipeline.encode, pipeline.extract_features, lambda i: pipeline.generate(i, ["text"])):
        with pytest.raises(ValueError, match=message):
            call(inputs)
