import math

import pytest
import torch
from torch.nn.functional import normalize

from tokenizers_vq.contract.motion import Motion, Skeleton
from tokenizers_vq.contract.quaternion import multiply, rotate
from tokenizers_vq.motion.heading import heading
from tokenizers_vq.motion.representation import PoseFeatures
from tokenizers_vq.motion.rotations import (
    against_parents,
    joint_positions,
    matrix_of,
    matrix_of_six,
    placed,
    quaternion_of,
    six_of,
    yaw_matrix,
)

SKELETON = Skeleton(
    ("root", "head", "left_foot", "right_foot"),
    (-1, 0, 0, 0),
    ((0.0, 0.0, 0.0), (0.0, 0.6, 0.1), (0.0, -0.9, -0.1), (0.0, -0.9, 0.1)),
    (0, 1, 3, 2),
)
FEATURES = PoseFeatures(SKELETON, 30.0, ("left_foot", "right_foot"))


def wandering(length: int = 40, seed: int = 0, wildness: float = 0.3) -> Motion:
    """Turns a little from pose to pose, in any direction."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(length, 4, 4, generator=generator) * wildness / 2
    steps[..., 0] = 1.0
    rotations = [normalize(steps[0], dim=-1)]
    for step in normalize(steps[1:], dim=-1):
        rotations.append(normalize(multiply(step, rotations[-1]), dim=-1))
    root = torch.randn(length, 3, generator=generator).cumsum(dim=0) * 0.05 + 1.0
    return Motion(SKELETON, 30.0, root, torch.stack(rotations))


def turned(motion: Motion, angle: float, step: tuple[float, float, float]) -> Motion:
    turn = torch.tensor([math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0])
    rotations = torch.cat([multiply(turn, motion.rotations[:, :1]), motion.rotations[:, 1:]], dim=1)
    return Motion(SKELETON, 30.0, rotate(turn, motion.root) + torch.tensor(step), rotations)


def spun(axis: tuple[float, float, float], length: int = 61) -> torch.Tensor:
    """(1, length, 4): once around an axis in 2 s."""
    half = torch.linspace(0, math.pi, length)[:, None]
    return torch.cat([half.cos(), half.sin() * torch.tensor(axis)], dim=1)[None]


def test_rotations_come_back() -> None:
    quaternions = normalize(torch.randn(500, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    quaternions = torch.cat([quaternions, torch.eye(4)])
    matrices = matrix_of(quaternions)
    vectors = torch.randn(504, 3, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close((matrices @ vectors[..., None])[..., 0], rotate(quaternions, vectors))
    torch.testing.assert_close(matrix_of(quaternion_of(matrices)), matrices)
    torch.testing.assert_close(matrix_of_six(six_of(matrices)), matrices)
    torch.testing.assert_close(matrix_of_six(six_of(matrices) * 3.0), matrices)
    turn = torch.tensor([math.cos(0.4), 0.0, math.sin(0.4), 0.0])
    torch.testing.assert_close(yaw_matrix(torch.tensor(0.8)), matrix_of(turn))


def test_kinematics_agree_with_the_skeletons() -> None:
    motion = wandering()
    positions, world = SKELETON.forward_kinematics(motion.root, motion.rotations)
    found, matrices = joint_positions(
        motion.root, matrix_of(motion.rotations), SKELETON.parents, torch.tensor(SKELETON.offsets)
    )
    torch.testing.assert_close(found, positions)
    torch.testing.assert_close(matrices, matrix_of(world))


@pytest.mark.parametrize("wildness", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("length", [2, 40, 400])
def test_both_inverses_are_exact(length: int, wildness: float) -> None:
    motion = wandering(length, wildness=wildness)
    features = FEATURES.of_motion(motion)
    assert features.shape == (length, FEATURES.width)
    expected = FEATURES.canonical(motion)
    torch.testing.assert_close(FEATURES.joints(features[None])[0], expected.positions, atol=1e-4, rtol=0)
    back = FEATURES.media(features)
    torch.testing.assert_close(back.positions, expected.positions, atol=1e-4, rtol=0)
    torch.testing.assert_close(matrix_of(back.rotations), matrix_of(expected.rotations), atol=1e-4, rtol=0)


def test_neither_place_nor_facing_counts() -> None:
    motion = wandering()
    moved = turned(motion, 2.5, (3.0, 0.0, -4.0))
    torch.testing.assert_close(FEATURES.of_motion(moved), FEATURES.of_motion(motion), atol=1e-3, rtol=1e-3)
    one, other = FEATURES.canonical(motion), FEATURES.canonical(moved)
    torch.testing.assert_close(one.positions, other.positions, atol=1e-4, rtol=0)
    assert one.root[0, ::2].abs().max() < 1e-6


def test_a_mirrored_body_turns_the_other_way() -> None:
    motion = wandering()
    features, mirrored = FEATURES.of_motion(motion), FEATURES.of_motion(motion.mirrored())
    torch.testing.assert_close(mirrored[:, 0], -features[:, 0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        mirrored[:, 1:3], features[:, 1:3] * torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0
    )


def test_local_joints_by_rotations_are_those_by_positions() -> None:
    features = FEATURES.of_motion(wandering())
    by_rotations = FEATURES.local_joints(features[None])[0, :, 1:]
    torch.testing.assert_close(
        by_rotations.flatten(1), features[:, FEATURES.groups["positions"]], atol=1e-5, rtol=0
    )


def test_filler_changes_nothing() -> None:
    motion = wandering(10)
    filled = torch.cat([motion.poses, motion.poses[-1:].expand(6, -1)])
    features = FEATURES.of_poses(filled[None], torch.tensor([10]))[0]
    torch.testing.assert_close(features[:10], FEATURES.of_motion(motion))
    assert (features[10:, FEATURES.groups["velocities"]] == 0).all()
    assert (features[10:, FEATURES.groups["turn"]] == 0).all()


@pytest.mark.parametrize("axis", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.1, 0.05, 0.99)])
def test_heading_is_smooth_through_flips_and_cartwheels(axis: tuple[float, float, float]) -> None:
    angle = heading(spun(axis), torch.ones(1, 61, dtype=torch.bool), 30.0)
    assert angle.diff(dim=1).abs().max() < 0.05


def test_heading_is_the_turn_of_an_upright_body() -> None:
    angle = heading(spun((0.0, 1.0, 0.0)), torch.ones(1, 61, dtype=torch.bool), 30.0)
    torch.testing.assert_close(angle[0], torch.linspace(0, 2 * math.pi, 61), atol=1e-4, rtol=0)


def test_a_standing_foot_has_contact() -> None:
    rest = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(5, 4, 4)
    height = torch.tensor([0.95, 0.95, 0.95, 1.4, 1.4])
    root = torch.stack([torch.zeros(5), height, torch.zeros(5)], dim=1)
    features = FEATURES.of_motion(Motion(SKELETON, 30.0, root, rest))
    assert features[:, FEATURES.groups["contacts"]].tolist() == [[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]]


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="left_toe"):
        PoseFeatures(SKELETON, 30.0, ("left_toe",))
    with pytest.raises(ValueError, match="rate=0"):
        PoseFeatures(SKELETON, 0.0, ())
    with pytest.raises(ValueError, match="offsets"):
        PoseFeatures({"names": ["root"], "parents": [-1], "mirror": [0]})


def test_rotations_in_one_frame_place_the_joints() -> None:
    motion = wandering()
    offsets = torch.tensor(SKELETON.offsets)
    rotations = matrix_of(motion.rotations)
    expected, turned = joint_positions(motion.root, rotations, SKELETON.parents, offsets)
    torch.testing.assert_close(placed(motion.root, turned, SKELETON.parents, offsets), expected)
    torch.testing.assert_close(against_parents(turned, SKELETON.parents), rotations, atol=1e-5, rtol=1e-5)


def test_a_chain_is_placed_joint_after_joint() -> None:
    generator = torch.Generator().manual_seed(0)
    parents, offsets = (-1, 0, 1, 2), torch.randn(4, 3, generator=generator)
    rotations = matrix_of(normalize(torch.randn(5, 4, 4, generator=generator), dim=-1))
    root = torch.randn(5, 3, generator=generator)
    expected, turned = joint_positions(root, rotations, parents, offsets)
    torch.testing.assert_close(placed(root, turned, parents, offsets), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(against_parents(turned, parents), rotations, atol=1e-5, rtol=1e-5)
