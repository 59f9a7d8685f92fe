"""Groups of the optimizer, and the learning rate over a run."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.optim import OptimConfig, build_optimizer, warmup_cosine
from tests.maskmm.decoding.stubs import VOCABULARY


def test_matrices_decay_and_nothing_else() -> None:
    config = TransformerConfig(
        width=16,
        depth=1,
        attention=AttentionConfig(num_heads=2, qk_norm="rms"),
        ffn=FeedForwardConfig(width=16),
    )
    model = MaskedTransformer(VOCABULARY, config)
    decayed, plain = build_optimizer([model], OptimConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {
        f"blocks.0.{name}.weight" for name in ("attention.qkv", "attention.out", "ffn.gate_up", "ffn.down")
    }
    assert len(decayed["params"]) + len(plain["params"]) == len(names)


def test_shared_and_frozen_parameters() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    second.bias.requires_grad_(False)
    (decayed, plain) = build_optimizer([first, second], OptimConfig()).param_groups
    assert decayed["params"] == [first.weight] and plain["params"] == [first.bias]


def test_a_group_without_parameters_is_left_out() -> None:
    (group,) = build_optimizer([nn.Linear(2, 2, bias=False)], OptimConfig()).param_groups
    assert group["weight_decay"] > 0


def rates(config: OptimConfig, total: int, steps: int) -> list[float]:
    optimizer = build_optimizer([nn.Linear(1, 1)], config)
    schedule = warmup_cosine(optimizer, config, total)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_warm_up_then_cosine() -> None:
    found = rates(OptimConfig(lr=2.0, warmup_steps=4, final_lr_ratio=0.1), total=24, steps=30)
    assert found[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    cosine = [2.0 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * k / 20))) for k in range(21)]
    assert found[4:25] == pytest.approx(cosine)
    assert found[25:] == pytest.approx([0.2] * 5)


def test_no_warm_up_and_runs_shorter_than_it() -> None:
    assert rates(OptimConfig(lr=1.0, warmup_steps=0), 10, 1) == [1.0]
    assert rates(OptimConfig(lr=1.0, warmup_steps=10), 5, 5) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    "bad", [{"lr": 0.0}, {"warmup_steps": -1}, {"final_lr_ratio": 1.5}, {"weight_decay": -0.1}]
)
def test_values_out_of_range(bad: dict[str, float]) -> None:
    ((name, value),) = bad.items()
    with pytest.raises(ValueError, match=f"{name}=\\s*{value}"):
        OptimConfig(**bad)  # type: ignore[arg-type]


def test_a_resumed_schedule_goes_on() -> None:
    config = OptimConfig(warmup_steps=2)
    whole = rates(config, 10, 10)
    optimizer = build_optimizer([nn.Linear(1, 1)], config)
    schedule = warmup_cosine(optimizer, config, 10)
    for _ in range(4):
        optimizer.step()
        schedule.step()
    other = build_optimizer([nn.Linear(1, 1)], config)
    resumed = warmup_cosine(other, config, 10)
    other.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert other.param_groups[0]["lr"] == whole[4]
    other.step()
    resumed.step()
    assert other.param_groups[0]["lr"] == whole[5]
    assert isinstance(other, torch.optim.AdamW)


def test_it_is_fused_and_steps_as_the_plain_one_does() -> None:
    model, twin = (nn.Linear(5, 4) for _ in range(2))
    twin.load_state_dict(model.state_dict())
    fused = build_optimizer([model], OptimConfig(lr=0.1))
    assert all(group["fused"] for group in fused.param_groups)
    plain = torch.optim.AdamW(
        [{"params": [twin.weight], "weight_decay": 0.05}, {"params": [twin.bias], "weight_decay": 0.0}],
        lr=0.1, betas=(0.9, 0.98), fused=False, foreach=False,
    )  # fmt: skip
    for step in range(4):
        for network, optimizer in ((model, fused), (twin, plain)):
            x = torch.randn(3, 5, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model.weight, twin.weight)
    torch.testing.assert_close(model.bias, twin.bias)
