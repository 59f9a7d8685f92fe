"""Encoders at full length, ours and theirs through torch.compile: BERT's operations and ModernBERT's weights.

python -m benchmarks.compiled [--mode cpu|wall] [--out FILE]      the quick run leaves it out
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks.encoders import Samples, build_bert, gated_rotary, one_pass
from benchmarks.harness import Case, main
from benchmarks.modernbert import GOALS, modernbert_case
from benchmarks.work import pass_name, trunk_flops


def cases(is_quick: bool) -> Iterator[Case]:
    """The compiled halves of rows 1 and 6 of the speed goals."""
    if is_quick:
        return
    for longest in GOALS:
        yield modernbert_case(longest, is_training=False, is_compiled=True)
    yield from _gated_rotary(256, 6, 512, 4)
    yield from _gated_rotary(768, 12, 512, 1)


def _gated_rotary(width: int, depth: int, longest: int, count: int) -> Iterator[Case]:
    """The house's gated feed-forward and rotary positions against BERT's plain ones, the same operations."""
    bert, samples = build_bert(width, depth, longest), Samples.make([longest] * count, longest)
    model = gated_rotary(width, depth, longest)
    compiled: Callable[..., Tensor] = torch.compile(model.forward_features, dynamic=False)
    peer = torch.compile(bert, dynamic=False)

    def check() -> None:
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(samples.sequence), model.forward_features(samples.sequence), atol=1e-4, rtol=1e-4
            )

    for is_training in (False, True):
        yield Case(
            f"full lengths, gated and rotary, d{width} L{depth}, {pass_name(is_training)}, both compiled",
            one_pass(lambda: compiled(samples.sequence), model, is_training),
            one_pass(lambda: peer(samples.ids).last_hidden_state, bert, is_training),
            check,
            1.0,
            samples.work,
            flops=trunk_flops(model.blocks, width, samples.lengths, is_training),
            is_compiled=True,
        )


if __name__ == "__main__":
    main(cases, ["transformers"])
