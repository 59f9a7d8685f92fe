import pytest
import torch

from datamodules.pairing import ClassPairing
from tokenizers_vq.contract import Key

LABELS = {"image": torch.tensor([0, 1, 2, 1, 0, 2]), "text": torch.tensor([2, 2, 1, 0, 0, 0])}


def test_pairs_agree_and_cover_the_class() -> None:
    anchor = torch.arange(6).repeat(100)
    items = ClassPairing(LABELS, "image").match(anchor, Key(0), torch.arange(600))
    assert torch.equal(items["image"], anchor)
    assert torch.equal(LABELS["text"][items["text"]], LABELS["image"][anchor])
    zeros = items["text"][LABELS["image"][anchor] == 0].bincount(minlength=6)
    assert zeros[3:].min() > 50 and zeros[:3].sum() == 0


def test_a_pair_depends_on_its_own_sample_alone() -> None:
    pairing = ClassPairing(LABELS, "image")
    anchor, ids = torch.arange(6), torch.arange(6) + 40
    whole = pairing.match(anchor, Key(0), ids)["text"]
    single = [int(pairing.match(anchor[i : i + 1], Key(0), ids[i : i + 1])["text"]) for i in range(6)]
    assert whole.tolist() == single


def test_unmatchable_class_is_named() -> None:
    with pytest.raises(ValueError, match=r"text has no item of class \[5\]"):
        ClassPairing({"image": torch.tensor([0, 5]), "text": torch.tensor([0, 1])}, "image")
    with pytest.raises(ValueError, match="anchor 'sound'"):
        ClassPairing(LABELS, "sound")
