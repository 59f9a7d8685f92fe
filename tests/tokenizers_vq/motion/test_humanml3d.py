import pytest
import torch
from torch import Tensor

from tests.reference.naive_humanml3d import features_of, turn
from tokenizers_vq.motion import HumanML3DFeatures, MotionRVQ
from tokenizers_vq.motion.humanml3d import JOINTS, PARENTS

FEATURES = HumanML3DFeatures()


def body(length: int = 30, seed: int = 0) -> tuple[Tensor, list[float], Tensor]:
    """A body of 22 joints that wanders and turns: joints (T, 22, 3), headings, features (T - 1, 263)."""
    generator = torch.Generator().manual_seed(seed)
    path = torch.randn(length, 1, 3, generator=generator).cumsum(dim=0) * 0.05 + 1.0
    joints = path + torch.randn(length, 22, 3, generator=generator) * 0.3
    joints[:, 0] = path[:, 0]
    heading = (torch.randn(length, generator=generator).cumsum(dim=0) * 0.4).tolist()
    six = torch.randn(length, 126, generator=generator)
    is_still = torch.rand(length, 4, generator=generator) < 0.5
    return joints, heading, features_of(joints, heading, six, is_still)


def test_the_layout_is_that_of_the_files() -> None:
    assert FEATURES.width == 263
    found = {name: (part.start, part.stop) for name, part in FEATURES.groups.items()}
    assert found == {
        "turn": (0, 1),
        "velocity": (1, 3),
        "height": (3, 4),
        "positions": (4, 67),
        "rotations": (67, 193),
        "velocities": (193, 259),
        "contacts": (259, 263),
    }
    assert FEATURES.rate == 20.0
    assert JOINTS[PARENTS[JOINTS.index("left_wrist")]] == "left_elbow"
    assert all(parent < joint for joint, parent in enumerate(PARENTS))


def test_joints_come_back() -> None:
    joints, heading, features = body()
    start = joints[0, 0] * torch.tensor([1.0, 0.0, 1.0])
    expected = (joints[:-1] - start) @ turn(-heading[0]).T
    torch.testing.assert_close(FEATURES.joints(features[None])[0], expected, atol=1e-4, rtol=1e-4)
    angle, root = FEATURES.path(features[None])
    torch.testing.assert_close(root[0], expected[:, 0], atol=1e-4, rtol=1e-4)
    turned = torch.tensor(heading[:-1]) - heading[0]
    torch.testing.assert_close(angle[0], turned, atol=1e-4, rtol=1e-4)


def test_local_joints_are_ahead_of_the_ground() -> None:
    joints, heading, features = body()
    local = FEATURES.local_joints(features[None])[0]
    ground = joints[5, 0] * torch.tensor([1.0, 0.0, 1.0])
    torch.testing.assert_close(local[5], (joints[5] - ground) @ turn(-heading[5]).T, atol=1e-5, rtol=1e-5)


def test_a_motion_is_held_still_at_its_end() -> None:
    short, long = body(10)[2], body(20)[2]
    features, lengths = FEATURES.of_media([short, long], None, 4, 64, 4)
    assert features.shape == (2, 20, 263)
    assert lengths.tolist() == [9, 19]
    torch.testing.assert_close(features[0, :9], short)
    assert (features[0, 9:, FEATURES.groups["velocities"]] == 0).all()
    assert (features[0, 9:, 4:67] == short[-1, 4:67]).all()
    joints = FEATURES.joints(features)[0]
    torch.testing.assert_close(joints[11:], joints[10:11].expand(9, -1, -1))


def test_padded_rows_are_the_list() -> None:
    motions = [body(10)[2], body(20)[2]]
    padded = torch.nn.utils.rnn.pad_sequence(motions, batch_first=True, padding_value=float("nan"))
    found, _ = FEATURES.of_media(padded, torch.tensor([9, 19]), 4, 64, 4)
    assert torch.equal(found, FEATURES.of_media(motions, None, 4, 64, 4)[0])


def test_a_tokenizer_learns_them() -> None:
    torch.manual_seed(0)
    tokenizer = MotionRVQ(FEATURES, max_length=16, width=32, num_blocks=1, codebook_size=32, num_codebooks=2)
    motions = [body(33, seed)[2] for seed in range(4)]
    optimizer = torch.optim.AdamW(tokenizer.parameters(), 2e-3)
    losses = []
    for _ in range(12):
        out = tokenizer.train()(motions)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
    codes = tokenizer.eval().encode(motions)
    assert [tuple(c.shape) for c in codes] == [(8, 2)] * 4
    assert [tuple(m.shape) for m in tokenizer.decode(codes)] == [(32, 263)] * 4
    assert tokenizer.preview(motions).animations["motion"].shape == (32, 1, 192, 384)


def test_wrong_rows_are_named() -> None:
    good = body(10)[2]
    for wrong, message in [
        ([good[:, :251]], r"\(9, 251\), expected a tensor \(T, 263\)"),
        ([good[None]], r"expected a tensor \(T, 263\)"),
        ([good.long()], "floating point"),
        ([good.numpy()], "ndarray"),
        ([good * float("nan")], "NaN"),
        ([good[:3]], "3 to 3 poses, expected 4 to 64"),
        ([], "at least one motion"),
    ]:
        with pytest.raises(ValueError, match=message):
            FEATURES.of_media(wrong, None, 4, 64, 4)
