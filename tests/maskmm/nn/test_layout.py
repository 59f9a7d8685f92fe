"""Layouts: bounds, windows, what is shared between layers."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.partitioners import min_cut_rematerialization_partition
from torch.utils.checkpoint import checkpoint

from maskmm.nn.attention import attend
from maskmm.nn.bias.alibi import Alibi
from maskmm.nn.bias.base import BoundBias
from maskmm.nn.layout import AttentionLayout
from tests.maskmm.nn.backends.cases import offsets
from tokenizers_vq.contract.described import path_of


@pytest.mark.parametrize("lengths", [[4], [2, 4, 1]])
def test_a_configured_bound_is_held_to(lengths: list[int]) -> None:
    """Kernels that are told too small a bound leave rows out without a word."""
    cu = offsets(lengths)
    assert AttentionLayout.build(cu).longest == AttentionLayout.build(cu, max_length=4).longest == (4, 4)
    assert AttentionLayout.build(cu, max_length=9).longest == (9, 9)
    with pytest.raises(ValueError, match="4 rows, expected at most 3"):
        AttentionLayout.build(cu, max_length=3)
    with pytest.raises(ValueError, match="4 rows, expected at most 3"):
        AttentionLayout.build(offsets([1] * len(lengths)), cu, max_length=3)


def test_a_bound_is_held_to_in_a_graph() -> None:
    """Nothing is read from the device there, so the error is an assertion of the device."""

    @torch.compile(fullgraph=True, backend="eager")
    def build(cu: torch.Tensor) -> torch.Tensor:
        return AttentionLayout.build(cu, max_length=3).cu_q

    assert build(offsets([3, 1])).tolist() == [0, 3, 4]
    with pytest.raises(RuntimeError, match="more than 3 rows"):
        build(offsets([4, 1]))


def test_a_window_larger_than_the_budget() -> None:
    layout = AttentionLayout.build(offsets([3, 5]), max_length=8)
    assert layout.with_window(8).window == 8
    with pytest.raises(
        ValueError, match="window=9 is larger than the budget of max_length=8 rows a sample; use"
    ):
        layout.with_window(9)
    with pytest.raises(ValueError, match="window=9 is larger than the budget"):
        AttentionLayout.build(offsets([3]), max_length=8, window=9)
    assert (
        AttentionLayout.build(offsets([3]), window=9).window == 9
    )  # a short batch of a model with large windows


def test_bad_layouts() -> None:
    with pytest.raises(ValueError, match="different batches"):
        AttentionLayout.build(offsets([1]), offsets([1, 2]))
    with pytest.raises(ValueError, match="window=-1, expected None or at least 0"):
        AttentionLayout.build(offsets([1]), window=-1)


def test_layers_share_what_is_built() -> None:
    layout = AttentionLayout.build(offsets([4, 4]))
    local = layout.with_window(2)
    assert local.with_window(2) is local and layout.window is None
    assert layout.runs is local.runs is local.with_window(None).runs
    assert AttentionLayout.build(offsets([4, 4])).runs is not layout.runs


def test_self_attention_is_told_from_other_query_rows() -> None:
    cu = offsets([4])
    assert AttentionLayout.build(cu).is_self_attention and AttentionLayout.build(cu, cu).is_self_attention
    assert not AttentionLayout.build(offsets([1]), cu).is_self_attention


@pytest.mark.parametrize("bad", [[5, 3], [1, 4], [0, 5, 3, 8], [], [[0, 3]], [0.0, 3.0]], ids=str)
def test_what_are_no_offsets(bad: list[int]) -> None:
    """Lengths, or what flash-attn would read beyond its rows with."""
    with pytest.raises(ValueError, match=r"cu_q of shape .* begin at 0 and never fall, .*cumsum"):
        AttentionLayout.build(torch.tensor(bad))
    with pytest.raises(ValueError, match="cu_k of shape"):
        AttentionLayout.build(offsets([3]), torch.tensor(bad))


@pytest.mark.parametrize("kind", ["runs", "bias", "checkpointed", "unread"])
def test_a_graph_copies_offsets_to_the_host_once(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the CPU, operators that read lengths wait once for all layers, and not in the backward.

    Seen in the graphs of tensors without values, which are made but cannot run.
    """
    monkeypatch.setattr("maskmm.nn.attention._to_autocast_dtype", lambda *t: t)  # knows no meta tensors
    torch._dynamo.reset()
    copies: list[int] = []

    def partition(*args: Any, **kwargs: Any) -> Any:
        graphs = min_cut_rematerialization_partition(*args, **kwargs)
        copies.extend(
            sum(n.kwargs.get("device") == torch.device("cpu") for n in graph.graph.nodes) for graph in graphs
        )
        return graphs

    backend = aot_autograd(fw_compiler=lambda graph, _: graph.forward, partition_fn=partition)
    weight = torch.empty(8, 24, device="meta", requires_grad=True)
    table = torch.empty(1, 2, device="meta", requires_grad=True)

    def layer(x: Tensor, layout: AttentionLayout, bias: BoundBias | None) -> Tensor:
        return x + attend(*(x @ weight).view(-1, 3, 2, 4).unbind(1), layout, bias=bias).flatten(1)

    @torch.compile(fullgraph=True, backend=backend)
    def layers(x: Tensor, cu: Tensor, place: Tensor) -> Tensor:
        layout = AttentionLayout.build(cu, max_length=16)
        bias = BoundBias(path_of(Alibi), place, table) if kind == "bias" else None
        for _ in range(3):
            if kind == "unread":
                x = x @ weight[:, :8]
            elif kind == "checkpointed":
                x = checkpoint(layer, x, layout, bias, use_reentrant=False)
            else:
                x = layer(x, layout, bias)
        return x

    rows = torch.empty(20, 8, device="meta"), torch.empty(20, 1, device="meta", dtype=torch.int64)
    with nullcontext() if kind == "unread" else pytest.raises(NotImplementedError, match="no data"):
        layers(rows[0], torch.empty(5, device="meta", dtype=torch.int64), rows[1])
    assert copies == [0 if kind == "unread" else 1, 0]
