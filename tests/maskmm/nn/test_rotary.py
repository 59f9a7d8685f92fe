"""Rotary positions: both ways to compute them, and what they make of distance."""

from __future__ import annotations

import pytest
import torch

from maskmm.nn.rotary import AxialRotary, _rotate_real, rotate


def test_complex_rotation_equals_real_rotation() -> None:
    position = torch.randint(0, 9, (11, 3), generator=torch.Generator().manual_seed(0))
    cos, sin = AxialRotary(12, 3, 100.0)(position)
    x = torch.randn(11, 2, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(rotate(x, cos, sin), _rotate_real(x.unflatten(-1, (6, 2)), cos, sin))


def test_rotation_makes_scores_depend_on_distance_alone() -> None:
    rotary = AxialRotary(12, 2, 100.0)
    q, k = torch.randn(2, 1, 1, 12, generator=torch.Generator().manual_seed(0)).unbind()

    def score(at_q: list[int], at_k: list[int]) -> torch.Tensor:
        turned = [rotate(x, *rotary(torch.tensor([at]))) for x, at in ((q, at_q), (k, at_k))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score([3, 5], [1, 2]), score([7, 4], [5, 1]))
    assert not torch.allclose(score([3, 5], [1, 2]), score([3, 5], [2, 2]))


def test_cast_model_keeps_its_angles() -> None:
    position = torch.tensor([[700], [701]])
    expected = AxialRotary(12, 1, 10000.0)(position)
    for dtype in (torch.bfloat16, torch.float16):
        torch.testing.assert_close(AxialRotary(12, 1, 10000.0).to(dtype)(position), expected)


def test_a_model_cast_to_float64_and_back_turns_as_before() -> None:
    position = torch.tensor([[700], [701]])
    expected = AxialRotary(12, 1, 10000.0)(position)
    rotary = AxialRotary(12, 1, 10000.0).double()
    assert rotary(position)[0].dtype == torch.float64
    back = rotary.float()(position)
    torch.testing.assert_close(back, expected, atol=0, rtol=0)
    assert rotate(torch.randn(2, 3, 12), *back).dtype == torch.float32


def test_head_too_narrow_for_the_axes() -> None:
    with pytest.raises(ValueError, match="head width 4"):
        AxialRotary(4, 3, 100.0)
