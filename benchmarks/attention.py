"""Local windows in blocks against a dense window mask and against full attention: the attention call alone.

python -m benchmarks.attention [--quick] [--out FILE]      one thread, CPU time, ratios within a round
4 heads of 64 channels, float32, windows of 64 rows to each side as in ModernBERT, whose public implementation masks
all pairs. One sample of T rows, and 8 samples of mixed lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from benchmarks.harness import Case, main
from benchmarks.work import lengths_of, pass_name
from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout

HEADS, WIDTH, WINDOW = 4, 64, 64


def rows(num_rows: int, is_training: bool) -> list[Tensor]:
    """Queries, keys and values as views of one projection."""
    generator = torch.Generator().manual_seed(0)
    fused = torch.randn(num_rows, 3, HEADS, WIDTH, generator=generator).requires_grad_(is_training)
    return list(fused.unbind(1))


def calls(
    layout: AttentionLayout, tensors: list[Tensor], backend: str, is_training: bool
) -> Callable[[], object]:
    """One forward, or forward and backward; masks, which all layers of a forward share, are built before."""
    q, k, v = tensors
    grad = torch.ones_like(q)

    def forward() -> Tensor:
        with torch.inference_mode():
            return attend(q, k, v, layout, backend)

    def step() -> None:
        attend(q, k, v, layout, backend).backward(grad)

    return step if is_training else forward


def window_case(lengths: list[int], peer: str, goal: float, is_training: bool) -> Case:
    """Blocked windows against `peer`: "dense" (the same function) or "full" (attention to everything)."""
    offsets = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()])
    local, full = AttentionLayout.build(offsets, window=WINDOW), AttentionLayout.build(offsets)
    tensors = rows(sum(lengths), is_training)

    def check() -> None:
        with torch.no_grad():
            torch.testing.assert_close(
                attend(*tensors, local, "blocks"), attend(*tensors, local, "dense"), atol=1e-5, rtol=1e-4
            )

    others = {"dense": (local, "dense"), "full": (full, "runs")}
    peer_layout, peer_backend = others[peer]
    return Case(
        f"window of {WINDOW}, T {max(lengths)}, {len(lengths)} samples, {pass_name(is_training)}, against {peer}",
        calls(local, tensors, "blocks", is_training),
        calls(peer_layout, tensors, peer_backend, is_training),
        check,
        goal,
        f"{sum(lengths)} rows, {HEADS} heads of {WIDTH}",
        # Two products of every pair in the band; the backward has five.
        flops=(2 + 5 * is_training) * 2.0 * sum(lengths) * (2 * WINDOW + 1) * HEADS * WIDTH,
    )


def cases(is_quick: bool) -> Iterable[Case]:
    """T 512, 2048 and 4096; the quick run has T 512 and mixed lengths, forward."""
    goals = {512: (1.5, 1.3), 2048: (6.0, 5.0), 4096: (9.0, 6.0)}
    for length in (512,) if is_quick else goals:
        for is_training in (False,) if is_quick else (False, True):
            for peer, goal in zip(("dense", "full"), goals[length]):
                yield window_case([length], peer, goal, is_training)
    yield window_case(lengths_of(8, 2048, 0.4), "dense", 3.0, is_training=False)


if __name__ == "__main__":
    main(cases, [])
