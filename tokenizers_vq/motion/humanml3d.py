"""The 263 numbers a pose of HumanML3D, and where they put the joints.

Guo et al., "Generating Diverse and Natural 3D Human Motions from Text" (2022), section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.motion.features import MotionFeatures, pose_groups
from tokenizers_vq.motion.padding import hold_last, pad_rows
from tokenizers_vq.motion.rotations import yaw_matrix

JOINTS: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine_1", "left_knee", "right_knee", "spine_2", "left_ankle", "right_ankle",
    "spine_3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
"""The 22 joints, in the files' order (that of the body model SMPL)."""

PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
"""Joint that each hangs on, -1 for the pelvis."""

RATE = 20.0
_REST = ("turn", "velocity", "velocities")  # zero where a body stands still


class HumanML3DFeatures(MotionFeatures):
    """Rows of HumanML3D's own files (`new_joint_vecs`), as they are: not normalised; y is up.

    | group | numbers | what |
    |---|---|---|
    | turn | 1 | half the angle by which the heading turns until the next pose, radians, from x towards z |
    | velocity | 2 | of the root along x and z until the next pose, seen from the next heading, metres a pose |
    | height | 1 | of the root above the ground, metres |
    | positions | 63 | of the other 21 joints, ahead (along z), from the ground under the root, metres |
    | rotations | 126 | six numbers for each of these joints' rotations against their parents |
    | velocities | 66 | of the 22 joints in the world until the next pose, turned ahead, metres a pose |
    | contacts | 4 | 1 where the left ankle, left foot, right ankle, right foot stand, else 0 |

    The dataset is used by its positions, as its own code does, so joints come from them and the path alone. Media are
    tensors (T, 263), not `Motion`: the files hold no rotation of the root against the world.
    """

    def __init__(self) -> None:
        self.rate, self.parents = RATE, PARENTS
        self.groups = pose_groups(len(JOINTS), rotations=len(JOINTS) - 1, contacts=4)
        # MoMask lets the root and the contacts count five times.
        self.weights = {"turn": 5.0, "velocity": 5.0, "height": 5.0, "contacts": 5.0}

    def of_media(
        self,
        media: Tensor | Sequence[Any],
        lengths: Tensor | None,
        shortest: int,
        longest: int,
        multiple: int,
    ) -> tuple[Tensor, Tensor]:
        """As MotionFeatures; media are a list of (T, 263) or padded (B, T, 263), float."""
        rows, sizes_B = pad_rows(media, lengths, self.width, self._checked, "HumanML3D's features")
        features_BTF = hold_last(rows, sizes_B, shortest, longest, multiple)
        is_real_BT = torch.arange(features_BTF.shape[1], device=rows.device) < sizes_B[:, None]
        for name in _REST:
            features_BTF[..., self.groups[name]] *= is_real_BT[..., None]
        return features_BTF, sizes_B

    def media(self, features_TF: Tensor) -> Tensor:
        """(T, 263), the features themselves."""
        return features_TF

    def path(self, features_BTF: Tensor) -> tuple[Tensor, Tensor]:
        """Heading (B, T), radians about y from z towards x, and root (B, T, 3), metres, the first over the origin."""
        half_BT = features_BTF[..., 0]
        # Their quaternions turn the world ahead; the heading turns back, by twice the half angles until this pose.
        angle_BT = -2.0 * (half_BT.cumsum(dim=1) - half_BT)
        across, along = features_BTF[..., self.groups["velocity"]].unbind(-1)
        flat_BT3 = torch.stack([across, torch.zeros_like(across), along], dim=-1)
        step_BT3 = torch.einsum("btac,btc->bta", yaw_matrix(angle_BT[:, 1:]), flat_BT3[:, :-1])
        root_BT3 = torch.nn.functional.pad(step_BT3.cumsum(dim=1), (0, 0, 1, 0))
        height = features_BTF[..., self.groups["height"]]
        return angle_BT, torch.cat([root_BT3[..., :1], height, root_BT3[..., 2:]], dim=-1)

    def _checked(self, rows: Any) -> Tensor:
        if not isinstance(rows, Tensor) or rows.ndim != 2 or rows.shape[1] != self.width or len(rows) == 0:
            found = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
            raise ValueError(f"motion {found}, expected a tensor (T, {self.width}) of HumanML3D's features")
        if not rows.is_floating_point():
            raise ValueError(f"motion of dtype {rows.dtype}, expected floating point")
        return rows
