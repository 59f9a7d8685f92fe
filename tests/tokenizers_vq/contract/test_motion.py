import math

import pytest
import torch

from tokenizers_vq.contract.motion import Motion, Skeleton
from tokenizers_vq.contract.quaternion import multiply, rotate, slerp

# A root with a right and a left arm of two bones.
ARMS = Skeleton(
    ("root", "right", "right_hand", "left", "left_hand"),
    (-1, 0, 1, 0, 3),
    ((0.0, 0.0, 0.0), (0.0, 1.0, 0.5), (0.0, -1.0, 0.0), (0.0, 1.0, -0.5), (0.0, -1.0, 0.0)),
    (0, 3, 4, 1, 2),
)


def random_rotations(*shape: int) -> torch.Tensor:
    values = torch.randn(*shape, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values / values.norm(dim=-1, keepdim=True)


def matrix(q: torch.Tensor) -> torch.Tensor:
    return torch.stack([rotate(q, axis) for axis in torch.eye(3, dtype=q.dtype)], dim=-1)


def test_quaternions_agree_with_matrices() -> None:
    first, second = random_rotations(2, 50)
    assert torch.allclose(matrix(multiply(first, second)), matrix(first) @ matrix(second))
    assert torch.allclose(torch.linalg.det(matrix(first)), torch.ones(50, dtype=torch.float64))
    quarter = torch.tensor([math.cos(math.pi / 4), 0.0, math.sin(math.pi / 4), 0.0])  # about y
    assert torch.allclose(
        rotate(quarter, torch.tensor([1.0, 0.0, 0.0])), torch.tensor([0.0, 0.0, -1.0]), atol=1e-6
    )


def test_slerp_goes_the_shorter_way_at_constant_speed() -> None:
    start, stop = random_rotations(2, 20)
    steps = [
        slerp(start, -stop, torch.full((20,), share, dtype=torch.float64)) for share in (0.0, 0.25, 0.5, 1.0)
    ]
    assert torch.allclose(steps[0], start) and torch.allclose(steps[3].abs(), stop.abs())
    near = (steps[1] * start).sum(-1).abs().acos()
    assert torch.allclose(2 * near, (steps[2] * start).sum(-1).abs().clamp(max=1).acos())
    assert torch.allclose(slerp(start, start, torch.full((20,), 0.3, dtype=torch.float64)), start)


def test_forward_kinematics_by_hand() -> None:
    rotations = torch.zeros(2, 5, 4)
    rotations[..., 0] = 1.0
    half = math.radians(90.0) / 2
    rotations[1, 1] = torch.tensor(
        [math.cos(half), 0.0, 0.0, math.sin(half)]
    )  # right arm about z: down to +x
    motion = Motion(ARMS, 30.0, torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), rotations)
    positions = motion.positions
    assert positions.shape == (2, 5, 3) and len(motion) == 2
    assert torch.allclose(positions[0, 2], torch.tensor([0.0, 0.0, 0.5]))
    assert torch.allclose(positions[1, 2], torch.tensor([2.0, 1.0, 0.5]), atol=1e-6)
    assert torch.allclose(positions[1, 4], torch.tensor([1.0, 0.0, -0.5]))


def test_mirrored_positions_are_reflected_and_swapped() -> None:
    root = torch.randn(7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    motion = Motion(ARMS, 30.0, root, random_rotations(7, 5))
    expected = motion.positions[:, [0, 3, 4, 1, 2]] * torch.tensor([1.0, 1.0, -1.0])
    assert torch.allclose(motion.mirrored().positions, expected)
    assert torch.allclose(motion.mirrored().mirrored().positions, motion.positions)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="each parent before its joint"):
        Skeleton(("a", "b"), (-1, 1), ((0.0,) * 3,) * 2, (0, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="equally long"):
        Skeleton(("a",), (-1, 0), ((0.0, 0.0, 0.0),), (0,))
    with pytest.raises(ValueError, match="swap joints in pairs"):
        Skeleton(("a", "b"), (-1, 0), ((0.0,) * 3,) * 2, (1, 1))  # type: ignore[arg-type]
    rotations = torch.zeros(4, 5, 4)
    with pytest.raises(ValueError, match=r"expected \(T, 3\) and \(T, 5, 4\)"):
        Motion(ARMS, 30.0, torch.zeros(3, 3), rotations)
    with pytest.raises(ValueError, match="rate=0"):
        Motion(ARMS, 0, torch.zeros(4, 3), rotations)
    with pytest.raises(ValueError, match="NaN"):
        Motion(ARMS, 30.0, torch.full((4, 3), torch.nan), rotations)
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 3\) and \(\.\.\., 5, 4\)"):
        ARMS.forward_kinematics(torch.zeros(4, 3), torch.zeros(4, 4, 4))
