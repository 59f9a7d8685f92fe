"""What "auto" takes, what it says, and what refuses."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from maskmm.nn.attention import attend
from maskmm.nn.backends import choice
from maskmm.nn.backends.base import Call
from maskmm.nn.layout import AttentionLayout
from maskmm.nn.structure import block_causal
from tests.maskmm.nn.backends.cases import Case, offsets

LAYOUT = AttentionLayout.build(offsets([300, 200]))
CPU = Call("cpu", torch.float32, 64, needs_grad=True, has_bias=False, layout=LAYOUT)
CUDA = replace(CPU, device_type="cuda", dtype=torch.bfloat16)
PREDICATE = AttentionLayout.build(offsets([300, 200]), predicate=block_causal(torch.zeros(500)))


@pytest.fixture
def a_modern_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (CPU, "runs"),
        (replace(CPU, layout=LAYOUT.with_window(32)), "blocks"),
        (replace(CPU, layout=LAYOUT.with_window(400)), "dense"),
        (replace(CPU, layout=PREDICATE), "dense"),
        (replace(CPU, has_bias=True), "dense"),
        (CUDA, "varlen"),
        (replace(CUDA, layout=LAYOUT.with_window(32)), "varlen"),
        (replace(CUDA, layout=PREDICATE), "flex"),
        (replace(CUDA, layout=PREDICATE, dtype=torch.float64), "dense"),
        (replace(CUDA, has_bias=True), "dense"),
        (replace(CUDA, dtype=torch.float32), "runs"),
        (replace(CUDA, dtype=torch.float32, layout=LAYOUT.with_window(32)), "blocks"),
        (replace(CUDA, head_width=20), "runs"),
        (replace(CUDA, head_width=264), "runs"),
    ],
)
@pytest.mark.usefixtures("a_modern_gpu")
def test_auto_takes(call: Call, name: str) -> None:
    assert choice.choose("auto", call).name == name


def test_short_samples_do_not_pay_for_a_band() -> None:
    layout = AttentionLayout.build(offsets([20] * 9), window=16)
    assert choice.choose("auto", replace(CPU, layout=layout)).name == "dense"


def test_a_gpu_older_than_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(ValueError, match="older than sm80"):
        choice.choose("varlen", CUDA)
    assert choice.choose("auto", CUDA).name == "runs"


@pytest.mark.usefixtures("a_modern_gpu")
def test_a_torch_without_windows_in_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmm.nn.backends.varlen._varlen_parameters", lambda: frozenset({"query"}))
    windowed = replace(CUDA, layout=LAYOUT.with_window(32))
    with pytest.raises(ValueError, match="varlen_attn of torch .* has no window"):
        choice.choose("varlen", windowed)
    assert choice.choose("auto", windowed).name == "blocks"


def test_auto_says_once_what_it_took_and_why(caplog: pytest.LogCaptureFixture) -> None:
    choice._announce_once.cache_clear()
    q, k, v = Case([300, 200], width=4).tensors()
    with caplog.at_level(logging.INFO, logger=choice.__name__):
        for _ in range(3):
            attend(q, k, v, LAYOUT.with_window(32))
    assert [r.getMessage() for r in caplog.records] == [
        "attention backend: blocks (runs: the layout has a window)"
    ]


@pytest.mark.parametrize(
    ("backend", "layout", "reason"),
    [
        ("varlen", LAYOUT, "device cpu has no packed kernel"),
        ("flash", LAYOUT, "device cpu has no packed kernel"),
        ("runs", LAYOUT.with_window(3), "has a window"),
        ("runs", PREDICATE, "has a predicate"),
        ("blocks", LAYOUT, "has no window"),
        ("blocks", PREDICATE.with_window(3), "has a predicate"),
        (
            "blocks",
            AttentionLayout.build(offsets([3]), offsets([4]), window=1),
            "query rows are other rows than the key rows",
        ),
        ("flex", PREDICATE, "no backward on the CPU"),
    ],
)
def test_asking_for_one_that_cannot_run_raises_the_reason(
    backend: str, layout: AttentionLayout, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"attention backend '{backend}' cannot run here: .*{reason}"):
        choice.choose(backend, replace(CPU, layout=layout))


@pytest.mark.parametrize("backend", ["varlen", "flash", "runs", "blocks", "flex"])
@pytest.mark.usefixtures("a_modern_gpu")
def test_only_dense_has_an_additive_bias(backend: str) -> None:
    layout = LAYOUT.with_window(3) if backend == "blocks" else LAYOUT
    with pytest.raises(ValueError, match="there is an additive bias"):
        choice.choose(backend, replace(CUDA, layout=layout, has_bias=True))


def test_flash_attn_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(
        "maskmm.nn.backends.flash._package_obstacle", lambda: "the flash-attn package does not import (no)"
    )
    with pytest.raises(ValueError, match="flash-attn package does not import"):
        choice.choose("flash", CUDA)


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="attention backend 'flesh', expected one of .*'auto', 'varlen'"):
        choice.choose("flesh", CPU)
