"""Training data under a token budget: one shape, full, the same at any number of workers, ranks and restarts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint

from datamodules.tokens import PairedTokens
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.masking.base import MaskedSequence
from maskmm.nn.config import AttentionConfig
from maskmm.packing import Packer
from tests.maskmm.test_filling import shapes
from tests.maskmm.test_resume import PowerCut, same
from tests.maskmm.training import COUNTS, TINY, build_data, build_module, build_trainer, write_toy_data
from tokenizers_vq.contract import Key, ModalitySource, TokenBatch, TokenBudget

ROWS = 96


@pytest.fixture
def sources(tmp_path: Path) -> list[ModalitySource]:
    return write_toy_data(tmp_path)


def packed_data(folder: Path, sources: list[ModalitySource], **changes: Any) -> PairedTokens:
    budget = changes.pop("budget", TokenBudget(ROWS, 32))
    collate = Packer(sources, AnyToAnyMasking(condition_noise=0.2), budget=budget, target_capacity=ROWS)
    given = {"batch_size": 1, "buffer_size": 40, "num_steps": 12}
    return build_data(folder, sources, collate=collate, **(given | changes))


def facts(batch: MaskedSequence) -> list[Any]:
    sequence = batch.inputs
    return [
        *(sequence.ids.tolist(), sequence.cu_seqlens.tolist(), sequence.sample_id.tolist()),
        *(batch.is_target.tolist(), [t.rows.tolist() for t in batch.target_rows]),
    ]


def test_one_shape_95_percent_and_every_item_once_an_epoch(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    data = packed_data(tmp_path, sources, num_steps=60)
    loaded = list(data.train_dataloader())
    assert len({tuple(shapes(batch)) for batch in loaded}) == 1
    real = sum(int((b.inputs.sample_id >= 0)[b.inputs.sample].sum()) for b in loaded)
    assert real / (60 * ROWS) >= 0.95
    draws = Counter(d for b in loaded for d in b.inputs.sample_id.tolist() if d >= 0)
    assert max(draws.values()) == 1
    batches = data.batches("train")
    complete = max(n for n in range(1, len(draws)) if all(d in draws for d in range(n))) // COUNTS["image"]
    assert complete >= 2
    items = batches.source.plan.of_draws(torch.arange(complete * COUNTS["image"]))
    assert set(Counter(items.tolist()).values()) == {complete}


@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_make_the_same_batches(
    sources: list[ModalitySource], tmp_path: Path, num_workers: int
) -> None:
    here = packed_data(tmp_path, sources).train_dataloader()
    there = packed_data(tmp_path, sources, num_workers=num_workers).train_dataloader()
    assert [facts(batch) for batch in here] == [facts(batch) for batch in there]


def test_ranks_share_out_the_packs_of_a_step(sources: list[ModalitySource], tmp_path: Path) -> None:
    def steps(world_size: int, rank: int) -> list[list[Any]]:
        class Data(PairedTokens):
            share = (rank, world_size)

        data = packed_data(tmp_path, sources, batch_size=4)
        data.__class__ = Data
        return [[facts(part) for part in data.batches("train")(step)] for step in range(5)]

    alone, first, second = steps(1, 0), steps(2, 0), steps(2, 1)
    for whole, a, b in zip(alone, first, second):
        assert whole == [a[0], b[0], a[1], b[1]]
    with pytest.raises(ValueError, match="batch_size=4 packs a step over 3 ranks"):
        steps(3, 0)


def test_a_sample_is_transformed_and_masked_as_at_any_other_budget(
    sources: list[ModalitySource], tmp_path: Path
) -> None:
    """What is kept of a sample follows from its draw alone."""

    def rows_of(rows: int) -> dict[int, int]:
        loader = packed_data(tmp_path, sources, budget=TokenBudget(rows, 64)).train_dataloader()
        sequences = [batch.inputs for batch in loader]
        return {
            sample_id: int(length)
            for s in sequences
            for sample_id, length in zip(s.sample_id.tolist(), s.cu_seqlens.diff())
            if sample_id >= 0
        }

    small, large = rows_of(64), rows_of(200)
    assert all(large[draw] == length for draw, length in small.items() if draw in large)


def test_resume_in_the_middle_of_an_epoch_is_exact(sources: list[ModalitySource], tmp_path: Path) -> None:
    def fit(name: str, ckpt: Path | None, num_workers: int, *more: Callback) -> Path:
        saver = ModelCheckpoint(
            tmp_path / name, filename="last", every_n_train_steps=4, enable_version_counter=False
        )
        trainer = build_trainer(
            tmp_path / name,
            max_steps=12,
            callbacks=[EMAWeightAveraging(use_buffers=False, decay=0.8), *more, saver],
            enable_checkpointing=True,
        )
        torch.manual_seed(5)
        data = packed_data(tmp_path, sources, num_workers=num_workers, buffer_size=10)
        trainer.fit(build_module(sources), data, ckpt_path=ckpt, weights_only=ckpt is not None)
        return tmp_path / name / "last.ckpt"

    whole = torch.load(fit("whole", None, 0), weights_only=True)
    with pytest.raises(KeyError):
        fit("part", None, 0, PowerCut())
    half = tmp_path / "part" / "last.ckpt"
    state = torch.load(half, weights_only=True)["loops"]["fit_loop"]["state_dict"]["combined_loader"][0]
    assert state["step"] == 4 and state["cursor"]["buffer"] > 0
    resumed = torch.load(fit("part", half, 2), weights_only=True)
    for part in ("state_dict", "current_model_state", "optimizer_states"):
        same(whole[part], resumed[part], part)


def test_other_budgets_are_refused_on_resume(sources: list[ModalitySource], tmp_path: Path) -> None:
    state = packed_data(tmp_path, sources).train_dataloader().state_dict()
    with pytest.raises(ValueError, match="resume with the same settings"):
        packed_data(tmp_path, sources, buffer_size=41).train_dataloader().load_state_dict(state)


def test_validation_is_fixed(sources: list[ModalitySource], tmp_path: Path) -> None:
    data = packed_data(tmp_path, sources, batch_size=2)
    first, again = ([facts(batch) for batch in data.val_dataloader()] for _ in range(2))
    assert first == again and len(first) == len(data.val_dataloader()) == 4


def test_steps_need_a_pack_for_each_rank_and_part(sources: list[ModalitySource], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="batch_size=2 packs a step, but 1 ranks and accumulate_grad_batches=1"
    ):
        build_trainer(tmp_path).fit(build_module(sources), packed_data(tmp_path, sources, batch_size=2))


@pytest.mark.parametrize(("window", "longest"), [(97, None), (41, 40)])
def test_a_window_larger_than_the_budget_is_refused(
    sources: list[ModalitySource], tmp_path: Path, window: int, longest: int | None
) -> None:
    def fit(window: int) -> None:
        config = replace(TINY, attention=AttentionConfig(num_heads=2, window=window))
        data = packed_data(tmp_path, sources, budget=TokenBudget(ROWS, 32, longest=longest))
        build_trainer(tmp_path, max_steps=1).fit(build_module(sources, transformer=config), data)

    with pytest.raises(
        ValueError, match=f"window={window} is larger than the token budget of rows=96, longest="
    ):
        fit(window)
    fit(window - 1)


class CodesDecide:
    """Keeps long samples by what their codes say, which a plan of lengths cannot know."""

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        has_codes = any(bool(codes.any()) for codes in batch.codes.values())
        return batch.keep_segments(torch.full((len(batch.segments),), has_codes))


def test_samples_that_do_not_fit_are_named(sources: list[ModalitySource], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sample of item \d+ has \d+ packed rows, the token budget 8"):
        packed_data(tmp_path, sources, budget=TokenBudget(8, 4)).batches("train")(0)
    with pytest.raises(ValueError, match="does not fit the token budget"):
        packed_data(tmp_path, sources, transforms=[CodesDecide()], buffer_size=400).batches("train")(0)
