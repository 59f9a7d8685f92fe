from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.humanml3d_media import HumanML3DMotions

LENGTHS = {"a": 20, "b": 12, "c": 30, "d": 7}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The first number of each row says which pose it is."""
    (tmp_path / "new_joint_vecs").mkdir()
    for number, (name, length) in enumerate(LENGTHS.items()):
        rows = np.zeros((length, 263), np.float32)
        rows[:, 0], rows[:, 1] = np.arange(length), number
        np.save(tmp_path / "new_joint_vecs" / f"{name}.npy", rows)
    for split, names in {"train": "a\nb\nc\nd", "val": "a\nd\nb", "test": "c"}.items():
        (tmp_path / f"{split}.txt").write_text(names)
    return tmp_path


def test_training_windows_lie_in_one_motion(folder: Path) -> None:
    data = HumanML3DMotions(folder, batch_size=6, num_steps=8, length=10)
    batches = [batch["media"] for batch in data.train_dataloader()]
    assert [tuple(batch.shape) for batch in batches] == [(6, 10, 263)] * 8
    media = torch.cat(batches)
    assert (media[:, 1:, 0] - media[:, :-1, 0] == 1).all()
    assert media[:, 0, 1].unique().tolist() == [0, 1, 2]  # "d" is shorter than a window
    starts = media[media[:, 0, 1] == 1, 0, 0]
    assert (int(starts.min()), int(starts.max())) == (0, 2)


def test_a_batch_is_a_function_of_seed_and_step(folder: Path) -> None:
    one, same, other = (
        list(HumanML3DMotions(folder, 4, 3, length=10, seed=seed).train_dataloader()) for seed in (0, 0, 1)
    )
    assert torch.equal(one[2]["media"], same[2]["media"])
    assert not torch.equal(one[2]["media"], other[2]["media"])


def test_evaluation_has_whole_motions(folder: Path) -> None:
    data = HumanML3DMotions(folder, batch_size=8, num_steps=1, length=10)
    (batch,) = data.val_dataloader()
    assert batch["lengths"].tolist() == [20, 12]
    assert batch["media"].shape == (2, 20, 263)
    assert (batch["media"][1, 12:] == 0).all()
    (batch,) = data.test_dataloader()
    assert batch["media"][0, :, 0].tolist() == list(range(30))


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        HumanML3DMotions(tmp_path / "none", 4, 1)
