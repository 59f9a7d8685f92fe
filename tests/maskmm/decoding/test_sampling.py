"""Two-level inverse-CDF sampling: exact, legal, and confident by the untempered distribution."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskmm.decoding import Temperature, TopK
from maskmm.decoding.sampling import sample_categorical, sample_codes
from tests.reference.naive_decoding import sample_by_running_sum
from tokenizers_vq.contract import Key


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 70), st.integers(0, 2**31))
def test_equals_the_running_sum(num_codes: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(5, num_codes, generator=generator) + 0.01
    uniform = Key(seed).uniform(torch.arange(5))
    expected = [sample_by_running_sum(w, u) for w, u in zip(weights.tolist(), uniform.tolist())]
    codes, total = sample_categorical(weights, uniform)
    assert codes.tolist() == expected
    assert torch.allclose(total, weights.double().sum(1), rtol=1e-6)


@pytest.mark.parametrize("num_codes", [2, 16, 37, 300])
def test_frequencies_pass_a_chi_square_test(num_codes: int) -> None:
    draws = 100_000
    logits = 1.5 * torch.randn(1, num_codes, generator=torch.Generator().manual_seed(num_codes))
    codes, _ = sample_codes(logits.expand(draws, -1), Key(3).uniform(torch.arange(draws)))
    expected = logits[0].double().softmax(0) * draws
    chi_square = float(((torch.bincount(codes, minlength=num_codes) - expected) ** 2 / expected).sum())
    freedom = num_codes - 1
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)


def test_never_draws_a_code_of_weight_zero_even_at_the_ends() -> None:
    weights = torch.zeros(4, 200)
    weights[:, 60:62] = torch.tensor([1e-20, 3e-20])
    ends = torch.tensor([2**-53, 0.2, 0.999, 1 - 2**-53], dtype=torch.float64)
    assert sample_categorical(weights, ends)[0].tolist() == [60, 60, 61, 61]


def test_log_probability_ignores_temperature_and_filters() -> None:
    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    uniform = Key(1).uniform(torch.arange(50))
    for filters in ((), (Temperature(0.3), TopK(5)), (Temperature(0.0),)):
        codes, log_prob = sample_codes(logits, uniform, filters)
        expected = logits.log_softmax(1).gather(1, codes[:, None]).squeeze(1)
        assert torch.allclose(log_prob, expected, atol=1e-5)


def test_temperature_zero_is_argmax_for_any_uniform() -> None:
    logits = torch.randn(20, 9, generator=torch.Generator().manual_seed(0))
    for seed in range(3):
        codes, _ = sample_codes(logits, Key(seed).uniform(torch.arange(20)), (Temperature(0.0),))
        assert torch.equal(codes, logits.argmax(1))


def test_half_precision_logits_and_no_rows() -> None:
    codes, log_prob = sample_codes(torch.randn(4, 9).bfloat16(), Key(0).uniform(torch.arange(4)))
    assert log_prob.dtype == torch.float32 and bool((codes < 9).all())
    codes, log_prob = sample_codes(torch.zeros(0, 9), torch.zeros(0, dtype=torch.float64))
    assert codes.shape == log_prob.shape == (0,)
