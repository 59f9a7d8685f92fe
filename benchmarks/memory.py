"""Peak memory of one training step at base size on mixed lengths, against transformers' padded ModernBertModel.

python -m benchmarks.memory [--quick] [--out FILE]      added by one forward and backward, gradients included
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.encoders import Samples, one_pass, same_features
from benchmarks.harness import Measurable, Plan, Row, Skipped, main, summary
from benchmarks.modernbert import build_modernbert
from benchmarks.peaks import added_mib
from benchmarks.work import lengths_of
from maskmm.interop import from_transformers


@dataclass(frozen=True)
class MemoryCase:
    """How many times less memory our call adds than the peer's, each in a child process of its own."""

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    check: Callable[[], Row]
    goal: float
    work: str
    gate: float | None = None

    def measure(self, plan: Plan) -> Row:
        """Median of the rounds' ratios."""
        if plan.clock.threads > 1:
            return Skipped(self.name, "forked children want one thread: run with --mode cpu").measure(plan)
        found = self.check()
        pairs = [(added_mib(self.ours), added_mib(self.peer)) for _ in range(max(1, plan.rounds // 3))]
        ratios = [peer / ours for ours, peer in pairs]
        row = summary(self.name, self.work, "times less memory", ratios, self.goal, self.gate)
        return row | found | {"ours_peak_mib": pairs[0][0], "peer_peak_mib": pairs[0][1]}


def cases(is_quick: bool) -> Iterator[Measurable]:
    """ModernBERT's own weights in our core; the quick run has d256 L6."""
    width, depth, count = (256, 6, 8) if is_quick else (768, 12, 6)
    peer = build_modernbert(width, depth, 512)
    model = from_transformers(peer).model
    samples = Samples.make(lengths_of(count, 512, 0.4), 512, model.vocabulary)

    def ours() -> Tensor:
        return model.forward_features(samples.sequence)

    def theirs() -> Tensor:
        mask = samples.is_real.long()
        return peer(samples.ids, attention_mask=mask).last_hidden_state[samples.is_real]

    yield MemoryCase(
        f"memory of a training step, mixed lengths, ModernBERT's weights, d{width} L{depth}",
        one_pass(ours, model, is_training=True),
        one_pass(theirs, peer, is_training=True),
        same_features(ours, theirs),
        2.0,
        samples.work,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(cases, ["transformers"])
