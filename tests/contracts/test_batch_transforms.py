"""Every batch transform: a sample decides for itself, none is lost, and what comes out can be packed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from maskmm.masking.transforms import DropModalities, LengthQueries
from maskmm.masking.whole_words import WholeWords
from maskmm.sequence import pack, unpack
from tests.contracts.discovery import callables_like
from tests.contracts.random_batches import QUICK
from tests.maskmm.decoding.stubs import MODALITIES, TEXT, VOCABULARY, full_batch
from tokenizers_vq.contract import BatchTransform, Key, ModalitySource, TokenBatch
from tokenizers_vq.text import WordPieceText


def whole_words() -> WholeWords:
    """Words of the text modality, whose 13 codes a word-piece tokenizer of as many pieces makes."""
    tokenizer = WordPieceText.from_texts(["ab bc cd de ef"], vocab_size=TEXT.spec.codebook_size)
    with TemporaryDirectory() as folder:
        tokenizer.save(Path(folder, "text"))
        return WholeWords([ModalitySource("text", str(Path(folder, "text")))])


EXAMPLES: dict[type, list[BatchTransform]] = {
    DropModalities: [DropModalities(), DropModalities([1.0, 0.0, 2.0])],
    LengthQueries: [LengthQueries(MODALITIES, 0.5), LengthQueries(MODALITIES, 1.0)],
    WholeWords: [whole_words()],
}
ALL = pytest.mark.parametrize(
    "transform", [e for es in EXAMPLES.values() for e in es], ids=lambda t: type(t).__name__
)


def test_every_transform_has_an_example() -> None:
    assert callables_like(BatchTransform) == set(EXAMPLES)


def contents(batch: TokenBatch) -> dict[int, dict[str, list[list[int]]]]:
    """Sample id -> modality -> codes of its segments."""
    samples = batch.samples(MODALITIES)
    return {
        int(sample_id): {name: [c.flatten().tolist() for c in codes] for name, codes in sample.items()}
        for sample_id, sample in zip(batch.sample_id, samples)
    }


def of_samples(batch: TokenBatch, order: list[int]) -> TokenBatch:
    samples = batch.samples(MODALITIES)
    return TokenBatch.from_samples([samples[i] for i in order], MODALITIES, batch.sample_id[order])


@ALL
@QUICK
@given(st.permutations(range(7)), st.integers(1, 7), st.integers(0, 3))
def test_a_sample_is_changed_alike_in_any_batch(
    transform: BatchTransform, order: list[int], size: int, step: int
) -> None:
    batch, key = full_batch(7), Key(4, step)
    together = contents(transform(batch, key))
    some = contents(transform(of_samples(batch, order[:size]), key))
    assert some == {100 + i: together[100 + i] for i in order[:size]}


@ALL
def test_no_sample_is_lost_and_the_input_stays(transform: BatchTransform) -> None:
    batch = full_batch(9)
    before = contents(batch)
    changed = transform(batch, Key(1))
    assert contents(batch) == before
    assert torch.equal(changed.sample_id, batch.sample_id)


@ALL
def test_another_key_changes_something_unless_nothing_is_drawn(transform: BatchTransform) -> None:
    if isinstance(transform, WholeWords):
        return
    found = {str(contents(transform(full_batch(30), Key(seed)))) for seed in range(4)}
    assert len(found) > 1


@ALL
@pytest.mark.parametrize("num_samples", [0, 1, 9])
def test_what_comes_out_can_be_packed(transform: BatchTransform, num_samples: int) -> None:
    changed = transform(full_batch(num_samples), Key(2))
    assert contents(unpack(pack(changed, VOCABULARY))) == contents(changed)


@ALL
def test_samples_without_any_modality_pass(transform: BatchTransform) -> None:
    nothing = TokenBatch.from_samples([{}, {}], MODALITIES)
    assert contents(transform(nothing, Key(0))) == contents(nothing)


def test_a_transform_is_named_in_yaml_by_its_class() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--transforms", type=list[BatchTransform])
    named = {"class_path": "maskmm.masking.transforms.DropModalities", "init_args": {"keep": [0.2, 0.8]}}
    (found,) = parser.instantiate_classes(parser.parse_object({"transforms": [named]})).transforms
    assert isinstance(found, DropModalities) and found.keep == [0.2, 0.8]
