"""TokenSpec and Modality: every bad input is one clear ValueError; boxes and spans against naive loops."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.random_batches import QUICK, specs
from tokenizers_vq.contract import Modality, TokenSpec

BAD_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"codebook_size": 0}, "codebook_size=0 .*at least 1"),
    ({"codebook_size": 4, "num_codebooks": 0}, "num_codebooks=0 .*at least 1"),
    ({"codebook_size": 4, "axes": ("x", "x"), "grid": (2, 2)}, "names an axis twice"),
    ({"codebook_size": 4, "axes": ("y", "x"), "grid": (2,)}, "1 entries for axes"),
    ({"codebook_size": 4, "axes": ("x",), "grid": (0,)}, "positive sizes"),
    ({"codebook_size": 4, "axes": ("y", "x"), "max_length": 3}, "2 varying axes"),
    ({"codebook_size": 4, "axes": ("t",)}, "needs a positive max_length"),
    ({"codebook_size": 4, "axes": ("t",), "max_length": 0}, "needs a positive max_length"),
    ({"codebook_size": 4, "axes": ("t",), "grid": (5,), "max_length": 5}, "no varying axis"),
    ({"codebook_size": 4, "max_length": 5}, "no varying axis"),
    ({"codebook_size": 4, "axes": ("t",), "max_length": 5, "stride": (2.0, 2.0)}, "2 entries for axes"),
    ({"codebook_size": 4, "axes": ("t",), "max_length": 5, "stride": (0.0,)}, "stride=.*must be positive"),
    ({"codebook_size": 4, "axes": ("t",), "max_length": 5, "rate": -1.0}, "rate=-1.0 must be positive"),
    (
        {"codebook_size": 4, "axes": ("t",), "max_length": 5, "rate": float("nan")},
        "rate=nan must be positive",
    ),
]


@pytest.mark.parametrize("arguments, message", BAD_SPECS)
def test_contradictions_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenSpec(**arguments)


@QUICK
@given(specs())
def test_spec_survives_json_and_compares(spec: TokenSpec) -> None:
    again = TokenSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec and hash(again) == hash(spec)
    shapes = [spec.shape(length) for length in range(1, (spec.max_length or 1) + 1)]
    assert max(torch.Size(s).numel() for s in shapes) == spec.max_tokens
    for length, shape in enumerate(shapes, start=1):
        spec.check_shape(shape, "m")
        assert spec.length_of(shape) == (1 if spec.is_fixed else length)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown fields.*'colour'"):
        TokenSpec.from_dict({"codebook_size": 4, "colour": 1})


AUDIO = TokenSpec(8, 2, ("t",), max_length=4)


@pytest.mark.parametrize(
    "codes, message",
    [
        (torch.zeros(3, 2), "dtype torch.float32, expected integers"),
        (torch.zeros(3, 2, dtype=torch.bool), "dtype torch.bool"),
        (torch.zeros(3, 1, dtype=torch.int64), r"shape \(3, 1\), expected \(None, 2\)"),
        (torch.zeros(3, dtype=torch.int64), r"shape \(3,\)"),
        (torch.zeros(1, 3, 2, dtype=torch.int64), r"shape \(1, 3, 2\)"),
        (torch.zeros(5, 2, dtype=torch.int64), "5 tokens on the varying axis, expected 1 to 4"),
        (torch.zeros(0, 2, dtype=torch.int64), "0 tokens on the varying axis"),
        (torch.full((3, 2), 8), "codes from 8 to 8, expected 0 to 7"),
        (torch.full((3, 2), -1), "codes from -1 to -1"),
    ],
)
def test_bad_codes_are_refused_by_name(codes: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=f"clip 3: .*{message}"):
        AUDIO.check_codes(codes, "clip 3")


def test_bad_lengths_and_shapes_are_refused() -> None:
    for length in (None, 0, 5):
        with pytest.raises(ValueError, match="takes 1 to 4 tokens"):
            AUDIO.shape(length)
    with pytest.raises(ValueError, match=r"expected \(2, 3\) over axes"):
        TokenSpec(8, axes=("y", "x"), grid=(2, 3)).check_shape((3, 2), "image")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../x", "a:b"])
def test_bad_modality_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="modality name"):
        Modality(name, AUDIO)
    assert Modality("low_res-image.length2", AUDIO).name == "low_res-image.length2"


VIDEO = TokenSpec(8, 1, ("t", "y", "x"), (None, 3, 4), max_length=5, stride=(2.0, 8.0, 5.5), rate=12.5)
CORNER = st.floats(-5, 40, allow_nan=False)


@QUICK
@given(st.tuples(CORNER, CORNER, CORNER), st.tuples(CORNER, CORNER, CORNER), st.integers(1, 5))
def test_tokens_of_box_equals_a_loop(one: tuple[float, ...], two: tuple[float, ...], length: int) -> None:
    start = [min(a, b) for a, b in zip(one, two)]
    stop = [max(a, b) + 0.25 for a, b in zip(one, two)]
    shape = VIDEO.shape(length)
    is_inside = VIDEO.tokens_of_box(start, stop, shape)
    for cell in itertools.product(*(range(s) for s in shape)):
        overlap = [
            min((i + 1) * stride, high) - max(i * stride, low)
            for i, stride, low, high in zip(cell, VIDEO.stride, start, stop)
        ]
        assert bool(is_inside[cell]) == all(o > 0 for o in overlap), cell


@QUICK
@given(st.floats(0, 1), st.floats(0.001, 1), st.integers(1, 5))
def test_tokens_of_span_equals_a_loop(start_s: float, width_s: float, length: int) -> None:
    shape = VIDEO.shape(length)
    is_inside = VIDEO.tokens_of_span(start_s, start_s + width_s, shape)
    assert VIDEO.rate is not None
    for t in range(length):
        begin, end = t * VIDEO.stride[0], (t + 1) * VIDEO.stride[0]
        touches = begin < (start_s + width_s) * VIDEO.rate and end > start_s * VIDEO.rate
        assert is_inside[t].tolist() == [[touches] * 4] * 3


@QUICK
@given(CORNER, st.floats(0.25, 20), st.integers(1, 5))
def test_the_first_token_covers_its_own_stride(start: float, width: float, length: int) -> None:
    spec = replace(VIDEO, first_stride=0.5)
    is_inside = spec.tokens_of_box((start, 0, 0), (start + width, 1, 1), spec.shape(length))
    edges = [0.0, *(0.5 + 2.0 * i for i in range(length))]
    touches = [low < start + width and high > start for low, high in zip(edges, edges[1:])]
    assert is_inside[:, 0, 0].tolist() == touches
    assert TokenSpec.from_dict(spec.to_dict()) == spec


def test_a_first_stride_needs_time() -> None:
    for wrong in ({"first_stride": 0.0}, {"first_stride": 1.0, "stride": ()}):
        with pytest.raises(ValueError, match="first_stride"):
            replace(VIDEO, **wrong)


def test_bad_boxes_and_spans_are_refused() -> None:
    shape = VIDEO.shape(2)
    for start, stop in [
        ((0, 0, 0), (1, 0, 1)),
        ((0, 0, 2), (1, 1, 1)),
        ((0, 0), (1, 1)),
        ((0, 0, float("nan")), (1, 1, 1)),
    ]:
        with pytest.raises(ValueError, match="expected start < stop"):
            VIDEO.tokens_of_box(start, stop, shape)
    with pytest.raises(ValueError, match="over axes"):
        VIDEO.tokens_of_box((0, 0, 0), (1, 1, 1), (2, 3))
    with pytest.raises(ValueError, match="has no stride"):
        AUDIO.tokens_of_box((0,), (1,), (3,))
    with pytest.raises(ValueError, match="'t' axis and a rate"):
        AUDIO.tokens_of_span(0.0, 1.0, (3,))
    with pytest.raises(ValueError, match="expected start < stop"):
        VIDEO.tokens_of_span(1.0, 1.0, shape)
