"""Training steps of the base encoder on packed batches: tokens per second, utilisation, recompiles, kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.utils import counters

from benchmarks.on_gpu.kernels import kernel_shares
from benchmarks.on_gpu.setting import PEAK, Row, Setting, matrix_weights, rounds_of
from benchmarks.work import ExactShare, random_tokens
from maskmm.compiling import Answer, CompileConfig, CompiledAnswer, answer
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer
from maskmm.objectives.cross_entropy import MaskedCrossEntropy, total_loss
from maskmm.optim import OptimConfig, build_optimizer
from maskmm.packing import Packer
from tokenizers_vq.contract import Key, Modality, TokenBudget, TokenSpec

SHARE = 0.3
GOALS = {512: 685e3, 1024: 624e3, 2048: 529e3}  # tokens per second at 40 % of the peak


class Packed:
    """Batches of one shape, whatever the lengths in them; a sample's rows count its [CLS].

    Args:
        setting: of the run.
        longest: most rows of a sample. Row kernels start as many blocks for each sample as the longest could need, so
            a bound that no sample reaches costs time; so do places for samples that never come.
        samples: most samples of a batch; None = as many as there are of the longest.
    """

    def __init__(self, setting: Setting, longest: int, samples: int | None = None) -> None:
        self.setting, self.longest = setting, longest
        self.rows = setting.pick(65536, 256)
        self.text = Modality("text", TokenSpec(setting.pick(8192, 64), axes=("t",), max_length=longest))
        capacity = {"text": round(SHARE * self.rows), "text.length": 1}
        budget = TokenBudget(self.rows, samples or self.rows // longest)
        self.packer = Packer([self.text], ExactShare(SHARE), target_capacity=capacity, budget=budget)

    def full(self, seed: int) -> MaskedSequence:
        """Every sample has as many rows as it may."""
        return self._pack([self.longest] * (self.rows // self.longest), seed)

    def mixed(self, seed: int) -> MaskedSequence:
        """Lengths spread evenly up to 0.8 of the longest (a padded batch would be filled to 0.4)."""
        generator = torch.Generator().manual_seed(seed)
        lengths: list[int] = []
        while True:
            length = int(torch.randint(4, int(0.8 * self.longest), (), generator=generator))
            if sum(lengths) + length > self.rows:
                return self._pack(lengths, seed)
            lengths.append(length)

    def _pack(self, lengths: list[int], seed: int) -> MaskedSequence:
        tokens = random_tokens([n - 1 for n in lengths], self.text, seed)
        return self.packer(tokens, Key(seed)).to(self.setting.device)


class Trainer:
    """A whole training step: autocast forward, backward, gradient clipping, fused AdamW.

    Args:
        setting: of the run.
        model: to train.
    """

    def __init__(self, setting: Setting, model: MaskedTransformer) -> None:
        self.setting, self.model = setting, model
        self.objective = MaskedCrossEntropy()
        self.optimizer = build_optimizer([model], OptimConfig(lr=1e-4))
        # As the training module compiles.
        self.answer: Answer = CompiledAnswer(CompileConfig()) if setting.is_compiled else answer

    def loss(self, batch: MaskedSequence, call: Answer) -> Tensor:
        parts = call(self.objective, self.model, batch, Key(0)).parts
        return total_loss(parts, {name: count for name, (_, count) in parts.items()}, {})

    def step(self, batch: MaskedSequence) -> None:
        with self.setting.autocast():
            loss = self.loss(batch, self.answer)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def check(self, batch: MaskedSequence) -> float:
        """Compiled loss against the eager one; the first call compiles.

        Raises:
            AssertionError: they differ by more than bf16 rounding.
        """
        with torch.no_grad(), self.setting.autocast():
            eager = float(self.loss(batch, answer))
        with self.setting.autocast():
            ours = float(self.loss(batch, self.answer).detach())
        assert abs(ours - eager) <= 1e-2 * abs(eager), f"compiled loss {ours}, eager {eager}"
        return ours


def flops_per_token(model: MaskedTransformer, batch: MaskedSequence) -> tuple[float, float]:
    """Of a training step on real rows: of the usual formula, and of what is computed.

    The formula counts all weights for all rows, attention, and the logits that are asked. What is computed is less: the
    last layer runs for the asked rows alone, but for its keys and values.
    """
    lengths, config = _real_lengths(batch), model.config
    reached = float(lengths.square().sum() / lengths.sum())
    asked = sum(int(t.is_real.sum()) for t in batch.target_rows) / float(lengths.sum())
    head = 6.0 * model.vocabulary.modalities[0].spec.codebook_size * config.width * asked
    formula = 6.0 * matrix_weights(model) + 12.0 * config.depth * config.width * reached + head
    if batch.asked is None:
        return formula, formula
    last = matrix_weights(model) / config.depth - 3 * config.width**2
    return formula, formula - (1 - asked) * (6.0 * last + 12.0 * config.width * reached)


def training(setting: Setting) -> Iterator[Row]:
    """Packs of 512, 1024 and 2048, with the kernels of each, then 50 batches of mixed lengths up to 512."""
    lengths = (512, 1024, 2048) if not setting.is_tiny else (32, 64)
    for longest in lengths:
        packed = Packed(setting, longest)
        trainer, batches, row = started(setting, packed, f"training, T={longest}")
        yield row
        goal = {"goal_tokens_per_s": GOALS.get(longest)}
        yield throughput(f"training, packed, T={longest}", trainer, batches) | goal
        yield from kernel_shares(setting, partial(trainer.step, batches[0]), f"training, T={longest}")
        torch._dynamo.reset()
    yield from _changing_lengths(setting, lengths[0])


def started(
    setting: Setting, packed: Packed, name: str, **changes: Any
) -> tuple[Trainer, list[MaskedSequence], Row]:
    """A compiled trainer whose loss is the eager one, four full batches, and what the first step took."""
    model = setting.base_model(packed.packer.vocabulary, packed.longest, **changes)
    trainer = Trainer(setting, model)
    batches = [packed.full(seed) for seed in range(4)]
    start = time.perf_counter()
    loss = trainer.check(batches[0])
    trainer.step(batches[0])
    setting.wait()
    seconds = round(time.perf_counter() - start, 1)
    return trainer, batches, {"row": f"{name}, first step", "seconds": seconds, "loss": round(loss, 4)}


def throughput(name: str, trainer: Trainer, batches: list[MaskedSequence], rounds: int = 5) -> Row:
    """Throughput over whole rounds of the batches, each batch three times a round."""
    setting, model = trainer.setting, trainer.model
    repeats = setting.pick(3 * len(batches), 1)
    call: Callable[[int], None] = lambda index: trainer.step(batches[index % len(batches)])  # noqa: E731
    setting.seconds(call, setting.pick(20, 1))
    setting.peak_gib()
    median, best, worst = rounds_of(lambda: setting.seconds(call, repeats), rounds)
    tokens = sum(int(_real_lengths(b).sum()) for b in batches) / len(batches)
    counts = [flops_per_token(model, b) for b in batches]
    formula, computed = (sum(flops) / len(batches) for flops in zip(*counts))
    return {
        "row": name,
        "tokens_per_s": round(tokens / median),
        "utilisation": round(tokens * formula / median / PEAK, 4),
        "utilisation_computed": round(tokens * computed / median / PEAK, 4),
        "goal_utilisation": 0.40,
        "step_ms": round(1e3 * median, 2),
        "step_ms_range": [round(1e3 * best, 2), round(1e3 * worst, 2)],
        "mflop_per_token": round(formula / 1e6),
        "rows": batches[0].inputs.num_rows,
        "fill": round(tokens / batches[0].inputs.num_rows, 4),
        "sm_mhz": setting.busy_mhz(call, len(batches)),
        "peak_gib": setting.peak_gib(),
    }


def _changing_lengths(setting: Setting, longest: int) -> Iterator[Row]:
    """50 batches of other lengths each, after the first has compiled."""
    packed = Packed(setting, longest, samples=setting.pick(384, 64))
    trainer, _, row = started(setting, packed, "training, mixed lengths")
    yield row
    batches = [packed.mixed(100 + seed) for seed in range(setting.pick(50, 3))]
    before = counters["stats"]["unique_graphs"]
    for batch in batches:
        trainer.step(batch)
    row = throughput(f"training, mixed lengths, T<={longest}", trainer, batches[:8], rounds=3)
    yield row | {
        "recompiles": counters["stats"]["unique_graphs"] - before,
        "graph_breaks": sum(counters["graph_break"].values()),
        "batches_of_changing_lengths": len(batches),
    }


def _real_lengths(batch: MaskedSequence) -> Tensor:
    sequence = batch.inputs
    return sequence.cu_seqlens.diff()[sequence.sample_id >= 0].double()
