"""The collate of training: packs, masks and indexes, the same in any worker."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.packing import Packer, build_vocabulary
from maskmm.sequence import unpack
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, LABEL, MODALITIES, TEXT, VOCABULARY, full_batch
from tests.maskmm.training import build_data, build_module, write_toy_data
from tokenizers_vq.contract import Key, ModalitySource, TokenBatch

PLAIN = [IMAGE, AUDIO, TEXT, LABEL]


def packer(**changes: object) -> Packer:
    return Packer(PLAIN, AnyToAnyMasking(), **changes)  # type: ignore[arg-type]


def test_lengths_get_labels_and_the_model_the_same_vocabulary() -> None:
    assert packer().vocabulary == build_vocabulary(PLAIN) == VOCABULARY
    assert (
        build_vocabulary(PLAIN, 3).num_mask_kinds == packer(num_mask_kinds=3).vocabulary.num_mask_kinds == 3
    )


def test_without_cls_a_sample_has_its_segments_alone() -> None:
    batch = full_batch(5)
    packed = packer(has_cls=False)(batch, Key(0))
    assert bool((packed.inputs.segment >= 0).all())
    assert packed.inputs.num_rows == packer()(batch, Key(0)).inputs.num_rows - 5
    assert packed.inputs.vocabulary == build_vocabulary(PLAIN, has_cls=False)


def test_sources_read_their_specs_from_folders(tmp_path: Path) -> None:
    sources = write_toy_data(tmp_path)
    names = build_vocabulary(sources).names
    assert names == ("image", "text", "speech", "text.length", "speech.length")
    with pytest.raises(ValueError, match="does not exist"):
        build_vocabulary([ModalitySource("image", str(tmp_path / "absent"))])


def test_samples_are_sorted_by_length_and_none_is_lost() -> None:
    batch = full_batch(9)
    packed = packer()(batch, Key(0, 4))
    lengths = packed.inputs.cu_seqlens.diff()
    assert torch.equal(lengths, lengths.sort(descending=True).values)
    assert packed.inputs.sample_id.sort().values.tolist() == batch.sample_id.tolist()
    plain = packer(sorts_by_length=False)(batch, Key(0, 4))
    assert torch.equal(plain.inputs.sample_id, batch.sample_id)
    for place, sample_id in enumerate(packed.inputs.sample_id.tolist()):
        mine = packed.inputs.sample == place
        theirs = plain.inputs.sample == batch.sample_id.tolist().index(sample_id)
        assert torch.equal(packed.inputs.ids[mine], plain.inputs.ids[theirs])
        assert torch.equal(packed.is_target[mine], plain.is_target[theirs])


def test_what_was_hidden_can_be_read_from_the_targets() -> None:
    batch = full_batch(5)
    packed = packer(sorts_by_length=False)(batch, Key(0))
    whole = unpack(type(packed.inputs)(**{**vars(packed.inputs), "ids": packed.targets}))
    for given, found in zip(batch.samples(MODALITIES), whole.samples(MODALITIES)):
        assert all(torch.equal(given[name][0], found[name][0]) for name in given)


def test_target_rows_are_made_here_with_or_without_a_capacity() -> None:
    packed = packer()(full_batch(6), Key(0))
    assert sum(len(t.rows) for t in packed.target_rows) == int(packed.is_target.sum())
    filled = packer(target_capacity=32)(full_batch(6), Key(0))
    assert {len(t.rows) % 32 for t in filled.target_rows} == {0}
    assert len(filled.target_rows) == 1 + 2 + 1 + 1 + 2  # every codebook, also those that nothing is asked of
    assert sum(int(t.is_real.sum()) for t in filled.target_rows) == int(packed.is_target.sum())


def test_every_sample_starts_with_its_cls_row() -> None:
    batch = full_batch(4)
    packed = packer()(batch, Key(0)).inputs
    assert packed.num_rows == int(batch.segments.length.sum()) + 4
    assert bool((packed.ids[packed.cu_seqlens[:-1], 0] == VOCABULARY.cls_id).all())


def test_the_key_alone_decides() -> None:
    batch = full_batch(6)
    first, second, other = (packer()(batch, key) for key in (Key(1, 7), Key(1, 7), Key(1, 8)))
    assert torch.equal(first.inputs.ids, second.inputs.ids)
    assert not torch.equal(first.is_target, other.is_target)


def test_modalities_of_another_model_are_named() -> None:
    with pytest.raises(ValueError, match="modality 'audio' is not in this model"):
        Packer([IMAGE, TEXT], AnyToAnyMasking())(full_batch(2), Key(0))


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_pack_the_same_batches(tmp_path: Path, num_workers: int) -> None:
    sources = write_toy_data(tmp_path)
    here = list(build_data(tmp_path, sources, num_steps=4).train_dataloader())
    there = list(build_data(tmp_path, sources, num_steps=4, num_workers=num_workers).train_dataloader())
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.inputs.ids, b.inputs.ids) and torch.equal(a.is_target, b.is_target)
        assert [t.rows.tolist() for t in a.target_rows] == [t.rows.tolist() for t in b.target_rows]


def test_it_travels_to_workers() -> None:
    copied = pickle.loads(pickle.dumps(packer()))
    batch = full_batch(3)
    assert torch.equal(copied(batch, Key(0)).inputs.ids, packer()(batch, Key(0)).inputs.ids)


def test_a_batch_without_samples() -> None:
    packed = packer()(TokenBatch.from_samples([], MODALITIES), Key(0))
    assert packed.inputs.num_rows == 0 and not packed.target_rows


def test_moving_a_batch_waits_for_nothing(tmp_path: Path) -> None:
    class Moves(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.waits: list[bool] = []

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.to:
                self.waits.append(not (kwargs or {}).get("non_blocking", False))
            return func(*args, **(kwargs or {}))

    sources = write_toy_data(tmp_path)
    batch = build_data(tmp_path, sources).batches("train")(0)
    module = build_module(sources)
    with Moves() as moves:
        moved = module.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved.inputs.segments.shape.is_meta
    assert len(moves.waits) > 20 and not any(moves.waits)
