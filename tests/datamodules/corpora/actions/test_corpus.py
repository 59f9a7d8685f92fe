import importlib.util
import re
from itertools import combinations
from pathlib import Path

import pytest
import torch

from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.humanoid import HUMANOID, motions_folder, pose_at, read_recording
from datamodules.corpora.actions.takes import TAKES, split_takes
from datamodules.corpora.actions.windows import Window
from datamodules.corpora.splits import SPLITS
from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pybullet_data") is None, reason="pybullet has no wheel for this Python"
)


@pytest.fixture(scope="module")
def actions() -> ActionsCorpus:
    return ActionsCorpus(seed=0)


def test_skeleton_is_that_of_the_package() -> None:
    text = (motions_folder().parents[1] / "humanoid" / "humanoid.urdf").read_text()
    joints = re.findall(
        r'<joint name="(\w+)".*?parent\s+link\s*=\s*"(\w+)".*?<origin[^>]*xyz\s*=\s*"([^"]+)"',
        text,
        re.DOTALL,
    )
    assert [name for name, _, _ in joints] == list(HUMANOID.names)
    for i, (_, parent, xyz) in enumerate(joints):
        assert HUMANOID.parents[i] == -1 or HUMANOID.names[HUMANOID.parents[i]] == parent
        assert [0.25 * float(v) for v in xyz.split()] == pytest.approx(HUMANOID.offsets[i])


def test_takes_stand_on_the_ground(actions: ActionsCorpus) -> None:
    assert len(TAKES) == 20 and sum(len(r.times) for r in actions._recordings.values()) == 1810
    for name in TAKES:
        positions = actions.take(name).positions
        assert positions.shape == (actions.num_poses[name], 15, 3)
        assert -0.07 < float(positions[..., 1].min()) < 0.12, name
    walk = actions.take("walk").positions
    assert torch.allclose(walk[:, HUMANOID.names.index("neck"), 1], torch.tensor(1.3), atol=0.05)
    assert float(walk[-1, 0, 0] - walk[0, 0, 0]) > 1.0  # it walks along x


def test_turns_go_where_they_say(actions: ActionsCorpus) -> None:
    for name, sign in (("turn_left_0", -1), ("turn_left_1", -1), ("turn_right_0", 1), ("turn_right_1", 1)):
        assert float(actions.take(name).root[-1, 2]) * sign > 0.2, name
        assert float(actions.take(name, is_mirrored=True).root[-1, 2]) * sign < -0.2, name


def test_resampling_passes_through_recorded_poses(actions: ActionsCorpus) -> None:
    recording = read_recording(motions_folder() / "humanoid3d_kick.txt")
    root, rotations = pose_at(recording, recording.times)
    assert torch.allclose(root, recording.root.float(), atol=1e-6)
    assert ((rotations * recording.rotations.float()).sum(-1).abs() > 1 - 1e-6).all()
    between, _ = pose_at(recording, (recording.times[3:4] + recording.times[4:5]) / 2)
    assert torch.allclose(between, recording.root[3:5].mean(0).float())
    with pytest.raises(ValueError, match="expected within 0 to 1.53"):
        pose_at(recording, torch.tensor([2.0], dtype=torch.float64))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_splits_keep_their_distance(seed: int) -> None:
    corpus = ActionsCorpus(seed=seed)
    owners = {split: corpus.segments(split) for split in SPLITS}
    for one, other in combinations(SPLITS, 2):
        for a in owners[one]:
            for b in owners[other]:
                assert a.take != b.take or a.stop + 3 <= b.start or b.stop + 3 <= a.start
    train = {segment.take for segment in owners["train"]}
    # Of an action with two takes one whole take is never in training; each action is.
    assert {TAKES[take][0] for take in train} == {action for action, _ in TAKES.values()}
    assert len(train) == 16
    held = {segment.take for split in ("val", "test") for segment in owners[split]}
    assert held - train == set(TAKES) - train and len(held - train) == 4
    for split in SPLITS:
        assert all(segment.stop - segment.start >= 17 for segment in owners[split])
        assert len({TAKES[segment.take][0] for segment in owners[split]}) >= 8


def test_windows_stay_in_their_segment(actions: ActionsCorpus) -> None:
    segments = {segment.take: segment for segment in actions.segments("train")}
    windows = actions.draw("train", Key(0), torch.arange(400))
    for window in windows:
        segment = segments[window.take]
        assert segment.start <= window.start
        assert window.start + 16 * window.speed <= segment.stop - 1 + 1e-9
    speeds = torch.tensor([window.speed for window in windows])
    assert speeds.min() >= 0.75 and speeds.max() <= 1.3 and speeds.std() > 0.1
    assert 0.4 < sum(window.is_mirrored for window in windows) / 400 < 0.6
    assert actions.draw("train", Key(0), torch.tensor([7])) == windows[7:8]


def test_regular_windows(actions: ActionsCorpus) -> None:
    windows = actions.windows("test", hop=4)
    assert len(windows) == len(set(windows)) and all(window.speed == 1.0 for window in windows)
    assert sum(window.is_mirrored for window in windows) * 2 == len(windows)
    motion = actions.motion(windows[0])
    whole = actions.take(windows[0].take)
    start = int(windows[0].start)
    assert motion.rate == 30.0 and len(motion) == 17
    assert torch.allclose(motion.root, whole.root[start : start + 17], atol=1e-6)


def test_mirrored_window_swaps_sides(actions: ActionsCorpus) -> None:
    plain = actions.motion(actions.windows("val")[0])
    mirrored = actions.motion(actions.windows("val")[0]._replace(is_mirrored=True))
    right, left = HUMANOID.names.index("right_wrist"), HUMANOID.names.index("left_wrist")
    expected = plain.positions[:, right] * torch.tensor([1.0, 1.0, -1.0])
    assert torch.allclose(mirrored.positions[:, left], expected, atol=1e-5)


def test_bad_input_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="rate=0"):
        ActionsCorpus(rate=0)
    with pytest.raises(ValueError, match="fewer than a window of 40"):
        ActionsCorpus(length=40).segments("train")
    with pytest.raises(ValueError, match="no readable motion file"):
        ActionsCorpus(folder=tmp_path).segments("train")
    (tmp_path / "a.txt").write_text('{"Frames": [[1, 2], [3, 4]]}')
    with pytest.raises(ValueError, match=r"frames of shape \(2, 2\), expected \(2 or more, 44\)"):
        read_recording(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="take run has 5 poses"):
        split_takes({"run": 5}, 17, 3, Key(0))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pybullet: pip install "maskmm\[corpora\]"'):
        motions_folder()


def test_windows_read_together_are_those_read_alone(actions: ActionsCorpus) -> None:
    windows = actions.draw("train", Key(3), torch.arange(40))
    together = actions.poses(windows)
    assert together.shape == (40, 17, 63)
    for window, poses in zip(windows, together):
        assert torch.equal(actions.motion(window).poses, poses)
        seconds = (window.start + window.speed * torch.arange(17, dtype=torch.float64)) / 30.0
        root, rotations = pose_at(actions._recordings[window.take], seconds)
        plain = Motion(HUMANOID, 30.0, root, rotations)
        expected = plain.mirrored() if window.is_mirrored else plain
        torch.testing.assert_close(poses, expected.poses, atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="window of run from"):
        actions.poses([windows[0], Window("run", 20.0, 1.0, False)])
    with pytest.raises(ValueError, match="no windows"):
        actions.poses([])
