"""What Lightning's Trainer adds to a step of MaskedModule: a fit against a plain loop over the same batches.

python -m benchmarks.trainer [--quick] [--out FILE]
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader

from benchmarks.harness import Plan, main, summary
from benchmarks.work import ExactShare, random_tokens
from maskmm.masking.base import MaskedSequence
from maskmm.model import TransformerConfig
from maskmm.module import MaskedModule
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.objectives.cross_entropy import total_loss
from maskmm.optim import OptimConfig, build_optimizer
from maskmm.packing import Packer
from tokenizers_vq.contract import Key, Modality, TokenSpec

_FEW, _MANY = 20, 120  # steps of a short and a long run: their difference has no set-up in it


@dataclass(frozen=True)
class OverheadCase:
    """Milliseconds that the Trainer adds to a step."""

    name: str
    batches: list[MaskedSequence]
    modality: Modality
    goal: float
    gate: float | None = None
    most_rounds: int = 9

    def measure(self, plan: Plan) -> dict[str, Any]:
        """Difference of two slopes, a round each."""
        self.check()
        fits, loops = [], []
        for _ in range(min(plan.rounds, self.most_rounds)):
            fits.append(self._slope(plan, self.fit))
            loops.append(self._slope(plan, self.loop))
        added = [1e3 * (fit - loop) for fit, loop in zip(fits, loops)]
        work = f"steps of {self.batches[0].inputs.num_rows} tokens, clipping, metrics logged every 50 steps"
        row = summary(self.name, work, "ms a step", added, self.goal, self.gate)
        return row | {
            "ours_ms": 1e3 * sorted(fits)[len(fits) // 2],
            "peer_ms": 1e3 * sorted(loops)[len(loops) // 2],
        }

    def check(self) -> None:
        """Both end with the same weights."""
        ours, theirs = self.fit(_FEW), self.loop(_FEW)
        for name, value in ours.model.state_dict().items():
            torch.testing.assert_close(
                value, theirs.model.state_dict()[name], msg=lambda m, n=name: f"{n}: {m}"
            )

    @staticmethod
    def _slope(plan: Plan, train: Any) -> float:
        few, many = (plan.clock.seconds(lambda n=n: train(n), 1) for n in (_FEW, _MANY))
        return (many - few) / (_MANY - _FEW)

    def fit(self, num_steps: int) -> MaskedModule:
        """Through the Trainer, with a CSV logger."""
        with tempfile.TemporaryDirectory() as folder:
            trainer = lightning.Trainer(
                accelerator="cpu", max_steps=num_steps, max_epochs=-1, log_every_n_steps=50, default_root_dir=folder,
                gradient_clip_val=1.0, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False,
            )  # fmt: skip
            module = self._module()
            trainer.fit(module, DataLoader(self.batches * (1 + _MANY // len(self.batches)), batch_size=None))
        return module

    def loop(self, num_steps: int) -> MaskedModule:
        """The same steps without it."""
        module = self._module()
        module.train()
        optimizer = build_optimizer([module.model, module.objective], module.optim)
        for step in range(num_steps):
            for group in optimizer.param_groups:
                group["lr"] = module.optim.lr
            output = module.objective(
                module.model, self.batches[step % len(self.batches)], module.key.at(step)
            )
            counts = {name: count.detach() for name, (_, count) in output.parts.items()}
            optimizer.zero_grad()
            total_loss(output.parts, counts, module.weights).backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
        return module

    def _module(self) -> MaskedModule:
        transformer = TransformerConfig(
            width=64, depth=2, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=128)
        )
        return MaskedModule(
            [self.modality], transformer, optim=OptimConfig(warmup_steps=0, final_lr_ratio=1.0)
        )


def cases(is_quick: bool) -> Iterator[OverheadCase]:
    """Row 17 of the speed goals."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    modality = Modality("text", TokenSpec(64, axes=("t",), grid=(16,)))
    packer = Packer([modality], ExactShare(0.3))
    batches = [packer(random_tokens([16] * 8, modality, seed), Key(seed)) for seed in range(10)]
    most_rounds = 1 if is_quick else 9
    yield OverheadCase("Lightning's Trainer over a plain loop", batches, modality, 1.2, 2.0, most_rounds)


if __name__ == "__main__":
    main(cases, ["lightning"])
