"""Every logit filter: a row for itself, one code at least stays, none comes back that was ruled out before."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from maskmm.decoding import LogitFilter, Temperature, TopK, TopP
from tests.contracts.discovery import subclasses
from tests.contracts.random_batches import QUICK

EXAMPLES: dict[type, list[LogitFilter]] = {
    Temperature: [Temperature(0.0), Temperature(0.5), Temperature(2.0)],
    TopK: [TopK(1), TopK(3), TopK(100)],
    TopP: [TopP(1e-6), TopP(0.8), TopP(1.0)],
}
ALL = pytest.mark.parametrize("logit_filter", [e for es in EXAMPLES.values() for e in es], ids=repr)


def test_every_filter_has_an_example() -> None:
    assert subclasses(LogitFilter) == set(EXAMPLES)


@st.composite
def logits(draw: st.DrawFn) -> Tensor:
    """Rows with ties and with codes ruled out, but never all of a row."""
    num_rows, num_codes = draw(st.integers(0, 4)), draw(st.integers(1, 9))
    values = draw(st.lists(st.sampled_from([0.0, 1.0, -3.5, 20.0, -math.inf]), min_size=36, max_size=36))
    rows = torch.tensor(values)[: num_rows * num_codes].reshape(num_rows, num_codes)
    rows[:, 0] = rows[:, 0].clamp(min=-1.0)
    return rows


@ALL
@QUICK
@given(logits())
def test_one_code_stays_and_none_comes_back(logit_filter: LogitFilter, logits: Tensor) -> None:
    before = logits.clone()
    kept = logit_filter(logits)
    assert torch.equal(logits, before)  # what it is given is not its own
    assert kept.shape == logits.shape and kept.dtype == logits.dtype
    assert not bool(kept.isnan().any()) and not bool((kept == math.inf).any())
    assert bool(kept.isfinite().any(dim=1).all())
    assert not bool((kept.isfinite() & ~logits.isfinite()).any())


@ALL
@QUICK
@given(logits())
def test_a_row_does_not_depend_on_the_others(logit_filter: LogitFilter, logits: Tensor) -> None:
    kept = logit_filter(logits)
    for row in range(len(logits)):
        assert torch.equal(logit_filter(logits[row : row + 1])[0], kept[row])


@ALL
@QUICK
@given(logits())
def test_no_kept_code_is_below_a_dropped_one(logit_filter: LogitFilter, logits: Tensor) -> None:
    for row, kept in zip(logits, logit_filter(logits)):
        is_dropped = row.isfinite() & ~kept.isfinite()
        if bool(is_dropped.any()):
            assert float(row[is_dropped].max()) <= float(row[kept.isfinite()].min())
