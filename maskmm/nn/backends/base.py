"""What a backend is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskmm.nn.layout import AttentionLayout, PairBias


@dataclass(frozen=True)
class Call:
    """One attention call, as far as the choice of a backend depends on it.

    Attributes:
        device_type: "cpu", "cuda", ...
        dtype: of queries, keys and values, after autocast.
        head_width: K.
        needs_grad: whether a gradient may be asked for.
        has_bias: whether something is added to the scores.
        layout: who may attend to whom.
    """

    device_type: str
    dtype: torch.dtype
    head_width: int
    needs_grad: bool
    has_bias: bool
    layout: AttentionLayout


@dataclass(frozen=True)
class Backend:
    """A way to compute attention.

    Attributes:
        name: what `attend(..., backend=name)` asks for.
        obstacle: why it cannot run a call; None where it can.
        attend: (q (N, H, K), k (M, G, K), v (M, G, K), layout, bias) -> (N, H, K), differentiable; zeros where a
            row may attend to nothing.
    """

    name: str
    obstacle: Callable[[Call], str | None]
    attend: Callable[[Tensor, Tensor, Tensor, AttentionLayout, PairBias | None], Tensor]


def plain_obstacle(call: Call) -> str | None:
    """The obstacle of kernels that know neither additive biases nor predicates."""
    if call.has_bias:
        return "there is an additive bias"
    return "the layout has a predicate" if call.layout.predicate is not None else None
