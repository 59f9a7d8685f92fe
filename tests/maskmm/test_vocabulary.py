"""Vocabulary: slices are disjoint and cover all ids; codes and ids are exact inverses; bad input is refused."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskmm.vocabulary import SPECIALS, Vocabulary, length_modality, with_length_modalities
from tests.contracts.random_batches import QUICK, vocabularies
from tokenizers_vq.contract import Modality, TokenSpec

# Vocabulary looks at "[MASK]" only when it is first used, and never at names it does not know.

TEXT = Modality("text", TokenSpec(30, 1, ("t",), max_length=7))
IMAGE = Modality("image", TokenSpec(8, 2, ("y", "x"), (2, 2)))


@QUICK
@given(vocabularies())
def test_slices_are_disjoint_and_cover_every_id(vocabulary: Vocabulary) -> None:
    vocabulary = Vocabulary(vocabulary.modalities, vocabulary.num_mask_kinds)
    owners = [0] * vocabulary.size
    for special in (vocabulary.pad_id, vocabulary.cls_id, vocabulary.sep_id):
        owners[special] += 1
    for kind in range(1, vocabulary.num_mask_kinds + 1):
        owners[vocabulary.mask_id(kind)] += 1
    for m in vocabulary.modalities:
        for codebook in range(m.spec.num_codebooks):
            ids = vocabulary.slice(m.name, codebook)
            assert ids.stop - ids.start == m.spec.codebook_size
            for i in range(ids.start, ids.stop):
                owners[i] += 1
    assert owners == [1] * vocabulary.size


@QUICK
@given(vocabularies(), st.integers(0, 999))
def test_codes_to_ids_and_back(vocabulary: Vocabulary, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for m in vocabulary.modalities:
        codes = torch.randint(0, m.spec.codebook_size, (5, m.spec.num_codebooks), generator=generator)
        ids = vocabulary.to_ids(m.name, codes)
        assert ids.shape == (5, vocabulary.num_codebooks)
        assert torch.equal(vocabulary.to_codes(m.name, ids), codes)
        assert bool((ids[:, m.spec.num_codebooks :] == vocabulary.pad_id).all())
        for q in range(m.spec.num_codebooks):
            inside = vocabulary.slice(m.name, q)
            assert bool(((ids[:, q] >= inside.start) & (ids[:, q] < inside.stop)).all())


@QUICK
@given(vocabularies())
def test_tables_say_the_same_as_the_methods(vocabulary: Vocabulary) -> None:
    offsets, sizes = vocabulary.offsets(), vocabulary.codebook_sizes()
    assert sizes[0].tolist() == [0] * vocabulary.num_codebooks  # special rows have no codebook
    for m in vocabulary.modalities:
        index = vocabulary.index(m.name)
        for q in range(vocabulary.num_codebooks):
            has = q < m.spec.num_codebooks
            assert int(sizes[index, q]) == (m.spec.codebook_size if has else 0)
            assert int(offsets[index, q]) == (vocabulary.slice(m.name, q).start if has else -1)
    assert vocabulary.mask_ids()[1:].tolist() == [
        vocabulary.mask_id(k) for k in range(1, vocabulary.num_mask_kinds + 1)
    ]


@QUICK
@given(vocabularies())
def test_survives_json(vocabulary: Vocabulary) -> None:
    again = Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict())))
    assert again == vocabulary and hash(again) == hash(vocabulary)
    assert again.size == vocabulary.size


def test_aliases_keep_an_imported_vocabularys_own_specials() -> None:
    aliases = {"[CLS]": ("text", 3), "[SEP]": ("text", 4), "[MASK]": ("text", 5)}
    vocabulary = Vocabulary([IMAGE, TEXT], num_mask_kinds=2, aliases=aliases)
    start = vocabulary.slice("text", 0).start
    assert (vocabulary.cls_id, vocabulary.sep_id, vocabulary.mask_id()) == (start + 3, start + 4, start + 5)
    assert vocabulary.mask_id(2) == len(SPECIALS) + 1
    assert vocabulary.mask_ids().tolist() == [0, start + 5, len(SPECIALS) + 1]
    assert Vocabulary.from_dict(vocabulary.to_dict()) == vocabulary
    assert vocabulary != Vocabulary([IMAGE, TEXT], num_mask_kinds=2)
    plain = Vocabulary([IMAGE, TEXT], num_mask_kinds=2)
    assert vocabulary.size == plain.size


@pytest.mark.parametrize(
    "alias, message",
    [
        ({"[CLS]": ("text", 30)}, "needs one codebook with that code"),
        ({"[CLS]": ("text", -1)}, "needs one codebook with that code"),
        ({"[SEP]": ("image", 0)}, "needs one codebook with that code"),
        ({"[CLS]": ("smell", 0)}, "'smell' is not in this model"),
        pytest.param({"[MASK]": ("text", 30)}, "needs one codebook with that code"),
        pytest.param({"[UNK]": ("text", 1)}, r"\[UNK\]"),
    ],
)
def test_bad_aliases_are_refused(alias: dict[str, tuple[str, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary([IMAGE, TEXT], aliases=alias)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one modality"):
        Vocabulary([])
    with pytest.raises(ValueError, match=r"\['text'\] appear twice"):
        Vocabulary([TEXT, IMAGE, TEXT])
    with pytest.raises(ValueError, match="num_mask_kinds=0"):
        Vocabulary([TEXT], num_mask_kinds=0)


def test_bad_questions_are_refused() -> None:
    vocabulary = Vocabulary([IMAGE, TEXT])
    with pytest.raises(
        ValueError, match=r"'smell' is not in this model, expected one of \['image', 'text'\]"
    ):
        vocabulary.spec("smell")
    with pytest.raises(ValueError, match="codebook 2 of 'image', expected 0 to 1"):
        vocabulary.slice("image", 2)
    for kind in (0, 2):
        with pytest.raises(ValueError, match=f"mask kind {kind}, expected 1 to 1"):
            vocabulary.mask_id(kind)
    with pytest.raises(ValueError, match="has 2 codebooks, got codes"):
        vocabulary.to_ids("image", torch.zeros(3, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match="outside its slices"):
        vocabulary.to_codes("text", torch.full((1, 2), vocabulary.mask_id()))
    with pytest.raises(ValueError, match="outside its slices"):  # a code of the wrong codebook
        vocabulary.to_codes("image", vocabulary.to_ids("image", torch.zeros(1, 2, dtype=torch.int64)).flip(1))


def test_what_an_imported_vocabulary_says_about_special_rows() -> None:
    closed = Vocabulary([IMAGE, TEXT], aliases={"[SEP]": ("text", 4)}, has_cls=False)
    assert (closed.closed_modality, closed.num_special_rows) == ("text", 1)
    assert (
        Vocabulary.from_dict(closed.to_dict()) == closed != Vocabulary([IMAGE, TEXT], aliases=closed.aliases)
    )
    plain = Vocabulary([IMAGE, TEXT])
    assert (plain.closed_modality, plain.num_special_rows) == (None, 1)
    older = {key: value for key, value in plain.to_dict().items() if key != "has_cls"}
    assert Vocabulary.from_dict(older) == plain


def test_length_labels() -> None:
    label = length_modality(TEXT)
    assert label == Modality("text.length", TokenSpec(7))
    assert with_length_modalities([IMAGE, TEXT]) == [IMAGE, TEXT, label]
    assert with_length_modalities([IMAGE, TEXT, label]) == [IMAGE, TEXT, label]
    with pytest.raises(ValueError, match="needs no length label"):
        length_modality(IMAGE)
