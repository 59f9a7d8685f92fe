"""HumanML3D's features of joints, pose by pose with plain matrices, as their description says."""

import math

import torch
from torch import Tensor


def turn(angle: float) -> Tensor:
    """About y, from z towards x."""
    return torch.tensor(
        [
            [math.cos(angle), 0.0, math.sin(angle)],
            [0.0, 1.0, 0.0],
            [-math.sin(angle), 0.0, math.cos(angle)],
        ]
    )


def features_of(joints_TJ3: Tensor, heading_T: list[float], six_TR: Tensor, is_still_T4: Tensor) -> Tensor:
    """(T - 1, 263) of joints (T, 22, 3) in the world; the body faces `turn(heading)` of the z axis.

    Rotations (T, 126) and contacts (T, 4) are taken over as they are.
    """
    rows = []
    for t in range(len(joints_TJ3) - 1):
        here, after = joints_TJ3[t], joints_TJ3[t + 1]
        ahead, ahead_after = turn(-heading_T[t]), turn(-heading_T[t + 1])
        # The y part of the quaternion that turns one frame "ahead" into the next is the sine of half the angle.
        change = math.sin((heading_T[t] - heading_T[t + 1]) / 2.0)
        ground = here[0] * torch.tensor([1.0, 0.0, 1.0])
        moved = ahead_after @ (after[0] - here[0])
        rows.append(
            torch.cat(
                [
                    torch.tensor([math.asin(change)]),
                    moved[[0, 2]],
                    here[0, 1:2],
                    torch.cat([ahead @ (joint - ground) for joint in here[1:]]),
                    six_TR[t],
                    torch.cat([ahead @ (b - a) for a, b in zip(here, after)]),
                    is_still_T4[t].float(),
                ]
            )
        )
    return torch.stack(rows)
