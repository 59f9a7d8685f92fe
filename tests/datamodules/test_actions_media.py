import pytest
import torch

from datamodules.actions_media import ActionMotions
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
