import pytest
import torch

from tests.reference.naive_space_time import naive_space, naive_time
from tokenizers_vq.layers.past import Past
from tokenizers_vq.layers.space_time import CausalAttention, SpaceTransformer, TimeTransformer, slopes

WIDTH, HEADS = 12, 3


def values(*shape):
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=[3, 64])
def time(request):
    torch.manual_seed(0)
    return TimeTransformer(WIDTH, 2, HEADS, window=request.param).eval()


@pytest.fixture
def space():
    torch.manual_seed(0)
    return SpaceTransformer((2, 3), WIDTH, 2, HEADS).eval()


@torch.no_grad()
def test_time_is_as_step_by_step(time):
    x_TYXC = values(5, 2, 3)
    assert torch.allclose(
        time(x_TYXC[None])[0].double(), naive_time(time, x_TYXC, time.blocks[0].attn.window), atol=1e-5
    )


@torch.no_grad()
def test_space_is_as_frame_by_frame(space):
    x_TYXC = values(4, 2, 3)
    assert torch.allclose(space(x_TYXC[None])[0].double(), naive_space(space, x_TYXC), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("sizes", [(7,), (1, 6), (3, 1, 1, 2), (1,) * 7])
def test_steps_in_parts_are_as_at_once(time, sizes):
    x_BTNC, past, parts = values(2, 7, 4), Past(), []
    for part in x_BTNC.split(list(sizes), dim=1):
        parts.append(time(part, past))
        past.move_on()
    assert torch.allclose(torch.cat(parts, dim=1), time(x_BTNC), atol=1e-5)


@torch.no_grad()
def test_time_looks_back_only_and_keeps_to_its_place(time):
    x_BTNC = values(1, 6, 4)
    changed = x_BTNC.clone()
    changed[0, 3, 2] += 1.0
    moved = (time(changed) - time(x_BTNC)).abs().amax(dim=-1)[0] > 0
    assert moved.nonzero().tolist() == [[3, 2], [4, 2], [5, 2]]


@torch.no_grad()
def test_a_window_bounds_what_is_seen_and_kept():
    torch.manual_seed(0)
    time, past = TimeTransformer(WIDTH, 2, HEADS, window=3), Past()
    x_BTNC = values(1, 9, 1)
    changed = x_BTNC.clone()
    changed[0, 2] += 1.0
    moved = (time(changed) - time(x_BTNC)).abs().amax(dim=(0, 2, 3)) > 0
    assert moved.nonzero().flatten().tolist() == [2, 3, 4, 5, 6]  # two blocks reach two steps on each
    time(x_BTNC, past)
    assert [past.of(block.attn).shape[-2] for block in time.blocks] == [2, 2]


def test_a_window_holds_a_step():
    with pytest.raises(ValueError, match="window=0"):
        TimeTransformer(WIDTH, 1, HEADS, window=0)


@torch.no_grad()
def test_space_keeps_to_its_frame_and_sees_all_of_it(space):
    x = values(4, 2, 3)
    changed = x.clone()
    changed[1, 0, 2] += 1.0
    moved = (space(changed) - space(x)).abs().amax(dim=-1) > 0
    assert moved.flatten(1).any(dim=1).tolist() == [False, True, False, False]
    assert moved[1].all()


@torch.no_grad()
def test_places_of_a_frame_differ(space):
    out = space(torch.zeros(1, 2, 3, WIDTH)).flatten(0, 2)
    assert torch.pdist(out).min() > 1e-4


def test_logits_fall_with_distance_and_end_at_the_present():
    bias = CausalAttention(WIDTH, 2, 8).bias(2, 4)
    assert bias.shape == (1, 2, 2, 4)
    assert bias[0, 0, 1].tolist() == [-3 / 16, -2 / 16, -1 / 16, 0.0]
    assert bias[0, 1, 0].tolist() == [-2 / 256, -1 / 256, 0.0, float("-inf")]


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12])
def test_slopes_fall_to_the_least(heads):
    found = slopes(heads)
    assert found.shape == (heads,)
    assert (found.diff() < 0).all()
    assert float(found[-1]) == pytest.approx(1 / 256)
