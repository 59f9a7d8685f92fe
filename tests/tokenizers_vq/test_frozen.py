import copy

import torch
from torch import nn

from tokenizers_vq.frozen import Frozen


def pair() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 2), Frozen(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))))


def test_it_is_in_no_state_dict_and_loads_strictly():
    made = pair()
    assert set(made.state_dict()) == {"0.weight", "0.bias"}
    other = pair()
    nn.init.zeros_(other[0].weight)
    kept = other[1].network[0].weight.clone()
    other.load_state_dict(made.state_dict(), strict=True)
    assert torch.equal(other[0].weight, made[0].weight)
    assert torch.equal(other[1].network[0].weight, kept)


def test_copies_do_the_same():
    made = copy.deepcopy(pair())
    assert set(made.state_dict()) == {"0.weight", "0.bias"}
    made.load_state_dict(pair().state_dict(), strict=True)


def test_it_stays_in_eval_mode_and_passes_gradients():
    made = pair().train()
    assert not made[1].network[1].training
    x = torch.ones(1, 2, requires_grad=True)
    made(x).sum().backward()
    assert x.grad is not None
    assert made[1].network[0].weight.grad is None
    assert made[0].weight.grad is not None
