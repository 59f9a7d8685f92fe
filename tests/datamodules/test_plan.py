import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.plan import BatchPlan, permuted
from tokenizers_vq.contract import Key


@settings(deadline=None)
@given(size=st.integers(1, 300), epoch=st.integers(0, 5), seed=st.integers(0, 3))
def test_a_bijection_at_every_size(size: int, epoch: int, seed: int) -> None:
    shuffled = permuted(torch.arange(size), size, Key(seed), torch.full((size,), epoch))
    assert torch.equal(shuffled.sort().values, torch.arange(size))


def test_every_place_is_equally_likely() -> None:
    size, epochs = 10, 4000
    epoch = torch.arange(epochs).repeat_interleave(size)
    shuffled = permuted(torch.arange(size).repeat(epochs), size, Key(0), epoch).reshape(epochs, size)
    count = torch.nn.functional.one_hot(shuffled, size).sum(dim=0).double()
    expected = epochs / size
    chi_square = ((count - expected) ** 2 / expected).sum()
    assert 40 < chi_square < 130  # 81 degrees of freedom: mean 81, standard deviation 12.7
    follows = ((shuffled[:, 1:] - shuffled[:, :-1]) == 1).double().mean()
    assert abs(float(follows) - 0.1) < 0.01


@settings(deadline=None)
@given(num_samples=st.integers(1, 60), batch_size=st.integers(1, 70))
def test_every_sample_once_an_epoch(num_samples: int, batch_size: int) -> None:
    plan = BatchPlan(num_samples, batch_size, seed=1)
    epochs = 3
    steps = -(-epochs * num_samples // batch_size)
    stream = torch.cat([plan.samples(step) for step in range(steps)])[: epochs * num_samples]
    for epoch in stream.reshape(epochs, num_samples):
        assert torch.equal(epoch.sort().values, torch.arange(num_samples))


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_ranks_share_the_same_batch(world_size: int) -> None:
    plan = BatchPlan(23, 8, seed=0)
    for step in range(7):
        shares = [plan.samples(step, rank, world_size) for rank in range(world_size)]
        rebuilt = torch.empty(8, dtype=torch.int64)
        for rank, share in enumerate(shares):
            rebuilt[rank::world_size] = share
        assert torch.equal(rebuilt, plan.samples(step))


def test_order_changes_with_seed_and_epoch() -> None:
    first = BatchPlan(100, 100, seed=0)
    assert not torch.equal(first.samples(0), first.samples(1))
    assert not torch.equal(first.samples(0), BatchPlan(100, 100, seed=1).samples(0))
    assert torch.equal(first.samples(9), BatchPlan(100, 100, seed=0).samples(9))


def test_draws_never_repeat() -> None:
    plan = BatchPlan(5, 3, seed=0)
    draws = torch.cat([plan.draws(step, rank, 2) for step in range(9) for rank in range(2)])
    assert torch.equal(draws.sort().values, torch.arange(27))


def test_wrong_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="num_samples=0"):
        BatchPlan(0, 1, 0)
    with pytest.raises(ValueError, match="rank=2, world_size=2"):
        BatchPlan(4, 2, 0).samples(0, 2, 2)
