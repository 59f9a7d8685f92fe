import pytest
import torch

from datamodules.actions_media import ActionMotions
from datamodules.corpora.actions.humanoid import HUMANOID
from datamodules.corpora.actions.variation import LIMBS, bend_joints, limb_of_joints, mix_limbs
from tokenizers_vq.contract import Key

pytest.importorskip("pybullet_data")


def test_batches() -> None:
    data = ActionMotions(batch_size=6, num_steps=2)
    batches = [batch["media"] for batch in data.train_dataloader()]
    assert [tuple(b.shape) for b in batches] == [(6, 17, 63)] * 2
    assert not torch.equal(batches[0], batches[1])
    small = [b["media"] for b in ActionMotions(batch_size=3, num_steps=4).train_dataloader()]
    assert torch.equal(torch.cat(small), torch.cat(batches))
    windows = data.corpus.draw("train", Key(0).fold("windows"), torch.arange(6))
    assert torch.equal(batches[0][5], data.corpus.motion(windows[5]).poses)
    for split, loader in (("val", data.val_dataloader()), ("test", data.test_dataloader())):
        seen = torch.cat([batch["media"] for batch in loader])
        assert len(seen) == len(data.corpus.windows(split))


def test_variations_depend_on_the_draw_alone() -> None:
    settings = {"mixed_share": 0.5, "bend": 0.1}
    whole = next(iter(ActionMotions(6, 1, **settings).train_dataloader()))["media"]
    halves = [b["media"] for b in ActionMotions(3, 2, **settings).train_dataloader()]
    assert torch.equal(torch.cat(halves), whole)
    assert not torch.equal(whole, next(iter(ActionMotions(6, 1).train_dataloader()))["media"])
    lengths = whole[..., 3:].unflatten(-1, (15, 4)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    with pytest.raises(ValueError, match="mixed_share=2"):
        ActionMotions(6, 1, mixed_share=2.0)


def test_joints_hang_on_limbs() -> None:
    limb = dict(zip(HUMANOID.names, limb_of_joints(HUMANOID).tolist()))
    assert limb["root"] == -1
    assert limb["neck"] == limb["chest"] == LIMBS.index("chest")
    assert limb["left_wrist"] == limb["left_shoulder"] == LIMBS.index("left_shoulder")
    assert limb["right_ankle"] == LIMBS.index("right_hip")


def test_limbs_are_mixed_whole() -> None:
    poses = torch.zeros(400, 2, 63)
    others = torch.arange(1.0, 6.0)[:, None, None, None].expand(5, 400, 2, 63)
    mixed = mix_limbs(poses, others, 0.5, Key(0), torch.arange(400), HUMANOID)
    assert (mixed[..., :7] == 0).all()  # path and root
    joints = mixed[..., 3:].unflatten(-1, (15, 4))
    assert (joints == joints[:, :1, :, :1]).all()
    source, limb = joints[:, 0, :, 0], limb_of_joints(HUMANOID)
    for index in range(5):
        own = source[:, limb == index]
        assert (own == own[:, :1]).all()
        assert set(own.unique().tolist()) == {0.0, index + 1.0}
        assert float((own[:, 0] > 0).float().mean()) == pytest.approx(0.25, abs=0.08)
    is_mixed = (source > 0).any(dim=1)
    assert float(is_mixed.float().mean()) == pytest.approx(0.5 * (1 - 0.5**5), abs=0.08)
    again = mix_limbs(poses[:1], others[:, :1], 0.5, Key(0), torch.tensor([7]), HUMANOID)
    assert torch.equal(again[0], mixed[7])


def test_joints_are_bent_by_what_was_asked() -> None:
    poses = torch.zeros(64, 3, 63)
    poses[..., 3::4] = 1.0
    bent = bend_joints(poses, 0.1, Key(0), torch.arange(64))
    turns = 2.0 * bent[..., 3:].unflatten(-1, (15, 4))[..., 1:]
    assert float(turns[:, 0].std()) == pytest.approx(0.1, abs=0.01)
    torch.testing.assert_close(turns[:, 1], (turns[:, 0] + turns[:, 2]) / 2, atol=2e-3, rtol=0)
    assert torch.equal(bend_joints(poses[:1], 0.1, Key(0), torch.tensor([7]))[0], bent[7])
