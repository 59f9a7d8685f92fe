import pytest
import torch

from datamodules.actions_media import ActionMotions
from datamodules.corpora.actions.humanoid import HUMANOID
from datamodules.corpora.actions.variation import bend_joints, mix_bodies
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


def test_bodies_are_mixed_at_the_chest() -> None:
    poses, others = torch.zeros(2, 5, 63), torch.ones(2, 5, 63)
    mixed = mix_bodies(poses, others, torch.tensor([True, False]), HUMANOID)
    assert (mixed[1] == 0).all()
    taken = mixed[0, :, 3:].unflatten(-1, (15, 4)).amax(dim=(0, 2))
    upper = ("chest", "neck", "shoulder", "elbow", "wrist")
    assert taken.tolist() == [float(name.split("_")[-1] in upper) for name in HUMANOID.names]


def test_joints_are_bent_by_what_was_asked() -> None:
    poses = torch.zeros(64, 3, 63)
    poses[..., 3::4] = 1.0
    bent = bend_joints(poses, 0.1, Key(0), torch.arange(64))
    turns = 2.0 * bent[..., 3:].unflatten(-1, (15, 4))[..., 1:]
    assert float(turns[:, 0].std()) == pytest.approx(0.1, abs=0.01)
    torch.testing.assert_close(turns[:, 1], (turns[:, 0] + turns[:, 2]) / 2, atol=2e-3, rtol=0)
    assert torch.equal(bend_joints(poses[:1], 0.1, Key(0), torch.tensor([7]))[0], bent[7])
