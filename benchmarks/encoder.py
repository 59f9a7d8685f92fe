"""The packed encoder against transformers' BertModel: full lengths, mixed lengths, many short samples.

python -m benchmarks.encoder [--quick] [--mode cpu|wall] [--gates] [--out FILE]
"same weights" rows run BERT's own weights through our core, the others match its matrix products; real tokens count.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.encoders import (
    Samples,
    build_bert,
    one_pass,
    packs_exactly,
    plain_block,
    same_features,
)
from benchmarks.harness import Case, main
from benchmarks.work import lengths_of, pass_name, trunk_flops
from maskmm.interop import from_transformers

_NUM_GROUPS = 4  # of the length-sorted baseline


def cases(is_quick: bool) -> Iterator[Case]:
    """Rows 1 to 3 of the speed goals; the quick run has d256 alone, full lengths forward."""
    count = 6 if is_quick else 8
    yield from _mixed(256, 6, lengths_of(count, 512, 0.4), 512, goals=(3.0, 2.7), gates=(2.3, 2.2))
    yield from _full(256, 6, 512, 2 if is_quick else 4, (False,) if is_quick else (False, True))
    yield _short(is_quick)
    if is_quick:
        return
    yield from _mixed(768, 12, lengths_of(4, 512, 0.4), 512, goals=(2.6, 2.5))
    yield from _mixed(256, 6, lengths_of(8, 2048, 0.4), 2048, goals=(3.8, 3.0))
    yield from _full(768, 12, 512, 1, (False, True))


def _mixed(
    width: int,
    depth: int,
    lengths: list[int],
    longest: int,
    goals: tuple[float, float],
    gates: tuple[float | None, float | None] = (None, None),
) -> Iterator[Case]:
    for is_training, goal, gate in zip((False, True), goals, gates):
        yield _same_weights("mixed lengths", width, depth, lengths, longest, is_training, goal, gate)


def _full(width: int, depth: int, longest: int, count: int, kinds: tuple[bool, ...]) -> Iterator[Case]:
    """Eager against eager: BERT's own weights, and the plain block of our family."""
    bert, samples = build_bert(width, depth, longest), Samples.make([longest] * count, longest)
    plain = plain_block(width, depth, longest)
    for is_training in kinds:
        yield _same_weights("full lengths", width, depth, [longest] * count, longest, is_training, 1.02, None)
        yield Case(
            f"full lengths, plain block, d{width} L{depth}, {pass_name(is_training)}",
            one_pass(lambda: plain.forward_features(samples.sequence), plain, is_training),
            one_pass(lambda: bert(samples.ids).last_hidden_state, bert, is_training),
            packs_exactly(plain, samples.sequence),
            1.02,
            samples.work,
            flops=trunk_flops(plain.blocks, width, samples.lengths, is_training),
        )


def _same_weights(
    kind: str,
    width: int,
    depth: int,
    lengths: list[int],
    longest: int,
    is_training: bool,
    goal: float,
    gate: float | None,
) -> Case:
    bert = build_bert(width, depth, longest)
    model = from_transformers(bert).model
    samples = Samples.make(lengths, longest, model.vocabulary)
    # Full batches come without a mask: their peer is at its best.
    mask = None if min(lengths) == longest else samples.is_real.long()

    def theirs() -> Tensor:
        return bert(samples.ids, attention_mask=mask).last_hidden_state[samples.is_real]

    def ours() -> Tensor:
        return model.forward_features(samples.sequence)

    return Case(
        f"{kind}, same weights, d{width} L{depth} T{longest}, {pass_name(is_training)}",
        one_pass(ours, model, is_training),
        one_pass(theirs, bert, is_training),
        same_features(ours, theirs),
        goal,
        samples.work,
        gate,
        trunk_flops(model.blocks, width, samples.lengths, is_training),
    )


def _short(is_quick: bool) -> Case:
    """Against the honest cheap baseline: BertModel on groups of similar lengths."""
    width, depth, longest = 256, 6, 128
    bert = build_bert(width, depth, longest)
    model = from_transformers(bert).model
    lengths = lengths_of(16 if is_quick else 64, longest, 0.4)
    samples = Samples.make(lengths, longest, model.vocabulary)
    groups = [
        (samples.ids[rows, : samples.lengths[rows[0]]], samples.is_real[rows, : samples.lengths[rows[0]]])
        for rows in torch.arange(len(lengths)).chunk(_NUM_GROUPS)
    ]

    def theirs() -> Tensor:
        outputs = [
            (bert(ids, attention_mask=is_real.long()).last_hidden_state, is_real) for ids, is_real in groups
        ]
        return torch.cat([hidden[is_real] for hidden, is_real in outputs])

    def ours() -> Tensor:
        return model.forward_features(samples.sequence)

    return Case(
        f"many short samples, same weights, d{width} L{depth}, forward, peer sorted into {_NUM_GROUPS} groups",
        one_pass(ours, model, is_training=False),
        one_pass(theirs, bert, is_training=False),
        same_features(ours, theirs),
        1.2,
        samples.work,
        flops=trunk_flops(model.blocks, width, samples.lengths, is_training=False),
    )


if __name__ == "__main__":
    main(cases, ["transformers"])
