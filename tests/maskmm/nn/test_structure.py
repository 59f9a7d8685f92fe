"""Structured attention in the transformer: what a change of one row can reach."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from maskmm.masking.base import MaskedSequence, masked_at
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig
from maskmm.nn.structure import both, hybrid, nearby, permutation
from maskmm.objectives.cross_entropy import MaskedCrossEntropy
from maskmm.objectives.structure import BlockCausal, Hybrid, Permuted, Structure
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tests.contracts.toy_model import random_batch
from tokenizers_vq.contract import Key, Modality, TokenSpec

IMAGE = Modality("image", TokenSpec(16, 1, ("y", "x"), (4, 4), stride=(8, 8)))
ORDER = torch.tensor([0, 2, 0, 1, 3, 0, 4, 1] * 4)


@pytest.fixture
def model() -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(width=16, depth=1, attention=AttentionConfig(num_heads=2), init_std=0.5)
    return MaskedTransformer(Vocabulary([IMAGE]), config).eval()


@pytest.fixture
def sequence(model: MaskedTransformer) -> TokenSequence:
    return pack(random_batch([IMAGE], 2, 0), model.vocabulary, has_cls=False)


@pytest.mark.parametrize(
    ("predicate", "sees"),
    [
        (permutation(ORDER), lambda q, k: ORDER[k] <= ORDER[q]),
        (hybrid(ORDER), lambda q, k: ORDER[k] <= ORDER[q]),
        (
            hybrid(ORDER, sees_later=True),
            lambda q, k: ORDER[k] == 0 or (ORDER[q] > 0 and ORDER[k] >= ORDER[q]),
        ),
        (
            both(permutation(ORDER), nearby(torch.arange(32), 2)),
            lambda q, k: ORDER[k] <= ORDER[q] and abs(q - k) <= 2,
        ),
    ],
    ids=["permutation", "hybrid", "hybrid, later", "both"],
)
def test_a_row_reaches_the_rows_that_may_see_it(
    model: MaskedTransformer, sequence: TokenSequence, predicate: object, sees: object
) -> None:
    assert callable(predicate) and callable(sees)
    before = model(sequence, model.layout(sequence, predicate))
    for row in (0, 1, 3, 20):
        ids = sequence.ids.clone()
        ids[row, 0] = model.vocabulary.mask_id()
        changed = replace(sequence, ids=ids)
        after = model(changed, model.layout(changed, predicate))
        reached = (before != after).any(dim=1)
        expected = [q // 16 == row // 16 and (q == row or bool(sees(q, row))) for q in range(32)]
        assert reached.tolist() == expected


def masked(sequence: TokenSequence) -> MaskedSequence:
    plain = masked_at(sequence, (ORDER > 0)[:, None])
    return replace(plain, order=ORDER, group=ORDER).with_target_rows()


@pytest.mark.parametrize("structure", [Permuted(), BlockCausal(), Hybrid(), Hybrid(sees_later=True)])
def test_objectives_follow_the_orders_of_a_masking(
    model: MaskedTransformer, sequence: TokenSequence, structure: Structure
) -> None:
    batch = masked(sequence)
    restricted = MaskedCrossEntropy(structure=structure)(model, batch, Key(0)).parts["image/0/masked"]
    free = MaskedCrossEntropy()(model, batch, Key(0)).parts["image/0/masked"]
    assert restricted[1] == free[1] == int((ORDER > 0).sum())
    assert restricted[0] != free[0]


def test_a_masking_without_orders(model: MaskedTransformer, sequence: TokenSequence) -> None:
    batch = replace(masked(sequence), order=None)
    with pytest.raises(ValueError, match="Hybrid needs the order of each row"):
        MaskedCrossEntropy(structure=Hybrid())(model, batch, Key(0))


def test_a_model_that_cannot_be_restricted(sequence: TokenSequence) -> None:
    class Other:
        def forward_features(self, sequence: TokenSequence) -> torch.Tensor:
            return torch.zeros(sequence.num_rows, 4)

    with pytest.raises(ValueError, match="Other has no layout"):
        MaskedCrossEntropy(structure=Hybrid())(Other(), masked(sequence), Key(0))  # type: ignore[arg-type]
