"""Hashed randomness: golden values, independence of batches, and its statistics."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.reference import naive_randomness
from tokenizers_vq.contract import Key

NUM = 1 << 16
COUNTER = torch.arange(NUM)
# A standard normal beyond 5 has probability 6e-7: a fixed seed that passes will always pass.
MAX_SIGMA = 5.0


def test_golden_values() -> None:
    """Written down once: a changed hash would silently change every mask of a resumed run."""
    assert Key(0).bits(0).item() == 7488366566883654874
    assert Key(7, step=3).fold("ratio").bits(5, 9).item() == 8425327608285701893
    assert Key(7).fold("ratio").stream == 316942198060319405
    assert Key(0).uniform(torch.arange(3)).tolist() == [
        0.4059451650091538,
        0.13392263217737754,
        0.19650965645411878,
    ]


@pytest.mark.parametrize("seed, step, stream", [(0, 0, 0), (-1, 5, 12), (2**62, 10**9, 2**62 - 1)])
def test_bits_equal_plain_python_integers(seed: int, step: int, stream: int) -> None:
    key = Key(seed, step, stream)
    for counters in itertools.product((0, 1, -3, 2**40), (0, 77, -(2**63))):
        expected = naive_randomness.bits(seed, stream, step, *counters)
        assert key.bits(*counters).item() % 2**64 == expected
        assert key.uniform(*counters).item() == naive_randomness.uniform(seed, stream, step, *counters)


def test_values_do_not_depend_on_the_batch() -> None:
    key, sample_id, position = Key(3, step=11), torch.tensor([5, 900, 5, 17]), torch.arange(40)
    table = key.uniform(sample_id[:, None], position)
    assert table.shape == (4, 40)
    assert torch.equal(table[0], table[2])
    for row, sample in enumerate(sample_id.tolist()):
        assert torch.equal(table[row], key.uniform(sample, position))
        assert table[row, 7] == key.uniform(sample, 7)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(key.uniform(sample_id[:, None], position[order]), table[:, order])


def test_counters_of_other_dtypes_are_the_same_counters() -> None:
    assert torch.equal(Key(1).bits(COUNTER[:9].int()), Key(1).bits(COUNTER[:9]))


def test_order_and_number_of_counters_matter() -> None:
    key = Key(1)
    values = {key.bits(*c).item() for c in [(), (0,), (0, 0), (1, 2), (2, 1), (1, 2, 0)]}
    assert len(values) == 6


def test_uniform_lies_strictly_between_0_and_1(monkeypatch: pytest.MonkeyPatch) -> None:
    for bits in (0, -1):  # the smallest and the largest hash
        monkeypatch.setattr(Key, "bits", lambda self, *counters, bits=bits: torch.tensor([bits]))
        assert 0.0 < Key(0).uniform(0).item() < 1.0
        assert math.isfinite(Key(0).gumbel(0).item())
        assert 0 <= Key(0).integers(3, 0).item() < 3


def chi_square_sigma(values: Tensor, num_bins: int) -> float:
    """How many standard deviations the chi-square of bin indices lies from its mean (normal for many bins)."""
    counts = torch.bincount(values, minlength=num_bins).double()
    expected = values.numel() / num_bins
    statistic = ((counts - expected) ** 2 / expected).sum().item()
    return (statistic - (num_bins - 1)) / math.sqrt(2 * (num_bins - 1))


FAMILIES = {
    "counter": lambda i: Key(0).uniform(i),
    "second counter": lambda i: Key(0).uniform(12345, i),
    "sparse counter": lambda i: Key(0).uniform(i * 4096),
    "large counter": lambda i: Key(0).uniform(i - 2**62),
    "grid": lambda i: Key(0).uniform(i // 256, i % 256),
    "other seed": lambda i: Key(2**40 + 1).uniform(i),
    "folded": lambda i: Key(0).fold("ratio").uniform(i),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_and_bins(family: str) -> None:
    u = FAMILIES[family](COUNTER)
    assert abs(u.mean().item() - 0.5) < MAX_SIGMA * math.sqrt(1 / 12 / NUM)
    assert abs(u.var().item() - 1 / 12) < MAX_SIGMA * math.sqrt(1 / 180 / NUM)
    assert abs(chi_square_sigma((u * 256).long(), 256)) < MAX_SIGMA
    low_bits = (u * 2**52).long() & 255
    assert abs(chi_square_sigma(low_bits, 256)) < MAX_SIGMA
    pairs = (u[0::2] * 16).long() * 16 + (u[1::2] * 16).long()
    assert abs(chi_square_sigma(pairs, 256)) < MAX_SIGMA


NEIGHBOURS = {
    "counters": (Key(5).uniform(COUNTER), Key(5).uniform(COUNTER + 1)),
    "first counters": (Key(5).uniform(8, COUNTER), Key(5).uniform(9, COUNTER)),
    "seeds": (Key(5).uniform(COUNTER), Key(6).uniform(COUNTER)),
    "steps": (Key(5, 8).uniform(COUNTER), Key(5, 9).uniform(COUNTER)),
    "streams": (Key(5).fold(0).uniform(COUNTER), Key(5).fold(1).uniform(COUNTER)),
    "seed and counter": (Key(5).uniform(COUNTER + 1), Key(6).uniform(COUNTER)),
    "swapped counters": (Key(5).uniform(3, COUNTER), Key(5).uniform(COUNTER, 3)),
}


@pytest.mark.parametrize("pair", NEIGHBOURS)
def test_neighbours_are_uncorrelated(pair: str) -> None:
    left, right = NEIGHBOURS[pair]
    # A counter can meet itself once (3, 3): leave such a value out.
    is_other = left != right
    assert int((~is_other).sum()) <= 1
    correlation = torch.corrcoef(torch.stack([left[is_other], right[is_other]]))[0, 1].item()
    assert abs(correlation) < MAX_SIGMA / math.sqrt(NUM)


@pytest.mark.parametrize("place", ["seed", "step", "stream", "counter"])
def test_avalanche(place: str) -> None:
    """One flipped input bit flips every output bit half of the time."""
    num = 512
    for bit in range(0, 62, 3):
        base, flipped = {"seed": 9, "step": 4, "stream": 1}, {"seed": 9, "step": 4, "stream": 1}
        counter = torch.arange(num)
        other = counter
        if place == "counter":
            other = counter ^ (1 << bit)
        else:
            flipped[place] ^= 1 << bit
        difference = Key(**base).bits(counter) ^ Key(**flipped).bits(other)
        is_flipped = ((difference[:, None] >> torch.arange(64)) & 1).double()
        assert abs(is_flipped.mean().item() - 0.5) < MAX_SIGMA * 0.5 / math.sqrt(num * 64)
        worst = (is_flipped.mean(dim=0) - 0.5).abs().max().item()
        assert worst < 6 * 0.5 / math.sqrt(num), f"bit {bit} of the {place}"


def test_no_collisions_among_a_million_combinations() -> None:
    bits = Key(0).bits(torch.arange(1024)[:, None], torch.arange(1024)).flatten()
    assert bits.unique().numel() == bits.numel()


def test_integers_are_uniform_for_each_high() -> None:
    high = torch.tensor([1, 2, 7, 1000])
    values = Key(0).integers(high[:, None], torch.arange(4)[:, None], COUNTER)
    assert values.dtype == torch.int64 and int(values.min()) == 0
    for row, size in zip(values, high.tolist()):
        assert int(row.max()) == size - 1
        if size > 1:
            assert abs(chi_square_sigma(row, size)) < MAX_SIGMA


def test_gumbel_has_its_mean_and_variance() -> None:
    g = Key(0).gumbel(COUNTER)
    assert abs(g.mean().item() - 0.5772156649) < MAX_SIGMA * math.sqrt(math.pi**2 / 6 / NUM)
    assert abs(g.var().item() - math.pi**2 / 6) < 0.05


def test_fold_and_at_make_other_families() -> None:
    key = Key(4, step=2)
    names = [*range(2000), *(f"name{i}" for i in range(2000)), *(f"{a}{b}" for a in "abc" for b in "xyz")]
    streams = {key.fold(name).stream for name in names}
    assert len(streams) == len(names)
    assert key.fold("a").fold("b") != key.fold("b").fold("a")
    assert key.fold("ab") != key.fold("a").fold("b")
    assert key.fold("a").at(9) == key.at(9).fold("a") == Key(4, 9, key.fold("a").stream)
    assert key.fold("a") == Key(4, 2).fold("a")
