"""A masked-LM training step against transformers' BertForMaskedLM with the same weights: 32k codes, 15 % asked.

python -m benchmarks.masked_lm [--quick] [--mode cpu|wall] [--out FILE]
Full lengths: what is won is the head, which transformers computes on every row, and the last layer's feed-forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.encoders import Samples, build_bert
from benchmarks.harness import Case, main
from benchmarks.work import trunk_flops
from maskmm.interop import from_transformers
from maskmm.masking.base import MaskedSequence
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key

_NUM_CODES = 32768


def cases(is_quick: bool) -> Iterator[Case]:
    """The quick run has d256 alone."""
    yield _case(256, 6, 128, 2 if is_quick else 8, goal=2.5)
    if not is_quick:
        yield _case(768, 12, 512, 1, goal=1.25)


def _case(width: int, depth: int, longest: int, count: int, goal: float) -> Case:
    peer: Any = build_bert(width, depth, longest, "BertForMaskedLM", _NUM_CODES)
    model = from_transformers(peer).model
    samples = Samples.make([longest] * count, longest, model.vocabulary)
    generator = torch.Generator().manual_seed(0)
    num_rows = longest * count
    rows = torch.randperm(num_rows, generator=generator)[: round(0.15 * num_rows)].sort().values
    codes = torch.randint(_NUM_CODES, (num_rows,), generator=generator)
    labels = torch.full_like(codes, -100)
    labels[rows] = codes[rows]
    batch = _asking(samples.sequence, codes, labels >= 0)
    objective = MaskedCrossEntropy()

    def ours() -> Tensor:
        total, count = objective(model, batch, Key(0)).parts["text/0/masked"]
        return total / count

    def theirs() -> Tensor:
        return peer(samples.ids, labels=labels.view(count, longest)).loss

    def check() -> None:
        with torch.no_grad():
            torch.testing.assert_close(ours(), theirs(), atol=1e-4, rtol=1e-4)

    whole, last = (
        trunk_flops(blocks, width, samples.lengths, is_training=True)
        for blocks in (model.blocks, model.blocks[-1:])
    )
    # Of rows that are not asked the last layer needs keys and values alone.
    idle = (1 - len(rows) / num_rows) * (last - 12.0 * width**2 * num_rows)
    head = 6.0 * width * _NUM_CODES * len(rows)
    return Case(
        f"masked-LM step, d{width} L{depth} T{longest}, 32k codes, 15 % asked",
        lambda: _step(ours, model),
        lambda: _step(theirs, peer),
        check,
        goal,
        samples.work,
        flops=whole - idle + head,
    )


def _asking(sequence: TokenSequence, codes_N: Tensor, is_asked_N: Tensor) -> MaskedSequence:
    """Nothing is hidden, as from the peer: what is behind a mask costs the same."""
    ids = codes_N[:, None] + sequence.vocabulary.slice("text", 0).start
    nothing = torch.zeros_like(ids)
    return MaskedSequence(sequence, nothing, ids, is_asked_N[:, None], nothing).with_target_rows()


def _step(loss: Callable[[], Tensor], model: nn.Module) -> None:
    loss().backward()
    model.zero_grad(set_to_none=True)


if __name__ == "__main__":
    main(cases, ["transformers"])
