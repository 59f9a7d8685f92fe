"""Our encoder and a public one with the same weights on the same samples: features compared, then times in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.setting import PEAK, Row, Setting
from benchmarks.work import pass_name, trunk_flops
from maskmm.model import MaskedTransformer

Call = Callable[[], object]


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        module: whose gradients are cleared.
        features: (N, D) of real tokens.
        loss: scalar that the timed passes compute.
    """

    module: nn.Module
    features: Callable[[], Tensor]
    loss: Callable[[], Tensor]

    def one_pass(self, setting: Setting, is_training: bool, is_compiled: bool) -> Call:
        """A forward without gradient, or a forward and backward."""
        loss = setting.compiled(self.loss) if is_compiled else self.loss

        def forward() -> None:
            with torch.no_grad(), setting.autocast():
                loss()

        def step() -> None:
            with setting.autocast():
                value = loss()
            value.backward()
            self.module.zero_grad(set_to_none=True)

        return step if is_training else forward


@dataclass(frozen=True)
class Pair:
    """Two encoders.

    Attributes:
        name: what is compared.
        goal: how many times as fast as the peer we want to be.
        model: ours, for the operations that count.
        lengths, longest: real rows of each sample; columns of a padded batch.
        windows: rows that each layer sees to each side; None = the whole sample in every layer.
    """

    name: str
    goal: float
    model: MaskedTransformer
    ours: Side
    peer: Side
    lengths: list[int]
    longest: int
    windows: Sequence[int | None] | None = None

    def rows(self, setting: Setting, kinds: Sequence[tuple[bool, bool]]) -> Iterator[Row]:
        """The check, then a row for each (is_training, is_compiled) that this run can make."""
        yield self.check(setting)
        for is_training, is_compiled in kinds:
            if setting.is_compiled or not is_compiled:
                yield self._timed(setting, is_training, is_compiled)

    def check(self, setting: Setting) -> Row:
        """Errors of the features.

        Raises:
            AssertionError: they differ by 2 % of their norm or more.
        """
        with torch.no_grad(), setting.autocast():
            ours, theirs = self.ours.features().float(), self.peer.features().float()
        error = float((ours - theirs).norm() / theirs.norm())
        assert error < 2e-2, f"features differ by {error:.4f} of their norm"
        largest = float((ours - theirs).abs().max())
        return {
            "row": f"{self.name}, difference of bf16 features",
            "relative_error": error,
            "largest": largest,
        }

    def _timed(self, setting: Setting, is_training: bool, is_compiled: bool) -> Row:
        """Ratios within rounds, rotating order."""
        ours, peer = (side.one_pass(setting, is_training, is_compiled) for side in (self.ours, self.peer))
        for call in (ours, peer):
            setting.seconds(lambda _, call=call: call(), setting.pick(5, 1))
        times: dict[Call, list[float]] = {ours: [], peer: []}
        for index in range(setting.pick(7, 2)):
            for call in (ours, peer) if index % 2 else (peer, ours):
                times[call].append(setting.seconds(lambda _, call=call: call(), setting.pick(4, 1)))
        ratios = [theirs / mine for mine, theirs in zip(times[ours], times[peer])]
        seconds, num_rows = statistics.median(times[ours]), sum(self.lengths)
        width = self.model.config.width
        flops = trunk_flops(self.model.blocks, width, self.lengths, is_training, self.windows)
        return {
            "row": f"{self.name}, {pass_name(is_training)}, {'compiled' if is_compiled else 'eager'}",
            "ratio": round(statistics.median(ratios), 3),
            "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
            "goal": self.goal,
            "fill": round(num_rows / (len(self.lengths) * self.longest), 3),
            "tokens_per_s": round(num_rows / seconds),
            "utilisation": round(flops / seconds / PEAK, 4),
            "ours_ms": round(1e3 * seconds, 2),
            "peer_ms": round(1e3 * statistics.median(times[peer]), 2),
        }
