"""`maskmm doctor` on the folder of a tokenizer: 16 samples through media and back, whatever tokenizer it is."""

import argparse

import pytest
import torch

from maskmm.cli import doctor
from tests.tokenizers_vq.example_media import SKELETON
from tokenizers_vq.audio.acoustic import RandomAcoustic
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.audio.mel import MelVQ
from tokenizers_vq.byte_text import ByteText
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.motion import MotionRVQ, PoseFeatures
from tokenizers_vq.quantizers import FSQ
from tokenizers_vq.text import WordPieceText
from tokenizers_vq.video import CViViT
from tokenizers_vq.vision import VQGAN
from tokenizers_vq.visual_bpe import RIGHT, VisualBPE


def public(name):
    for package in ("transformers", "diffusers"):
        pytest.importorskip(package)
    from tests.tokenizers_vq.pretrained import tiny

    return getattr(tiny, name)()


def visual_bpe():
    base = ImageVQ(16, width=8, codebook_size=4, code_dim=2)
    return VisualBPE(base, torch.tensor([[0, 1, RIGHT]]), fill=0)


MAKERS = {
    "bytes": lambda: ByteText(30),
    "image": lambda: VQGAN(FSQ((5, 5)), 16, 1, 8, (1, 2), 1),
    "audio": lambda: MelVQ(max_length=10, width=16, codebook_size=16, code_dim=4, griffin_lim_steps=2),
    "motion": lambda: MotionRVQ(PoseFeatures(SKELETON, 30.0, ("foot",)), max_length=8, width=16, code_dim=4),
    "video": lambda: CViViT(
        FSQ((5, 5)), 16, 1, width=16, space_depth=1, time_depth=1, max_length=5, num_heads=2
    ),
    "encodec": lambda: public("encodec"),
    "mimi": lambda: public("mimi"),
    "text": lambda: WordPieceText(["[UNK]", "a", "b"], 4),
    "visual_bpe": visual_bpe,
    "dac": lambda: public("dac"),
    "vq_model": lambda: public("vq_model"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_round_trip_of_16_samples_is_shown(name, tmp_path, capsys):
    torch.manual_seed(0)
    MAKERS[name]().save(tmp_path / name)
    assert doctor.run(argparse.Namespace(file=str(tmp_path / name), config=[])) == 0
    shown = capsys.readouterr().out
    assert f"{name} round trip" in shown
    assert "of 16 samples readable again" in shown
    assert "0 of 16" not in shown


def test_a_tokenizer_of_targets_alone_has_none(tmp_path, capsys):
    RandomAcoustic(FbankPatches(max_seconds=0.4), 64, 8).save(tmp_path / "targets")
    assert doctor.run(argparse.Namespace(file=str(tmp_path / "targets"), config=[])) == 0
    assert "no decoder" in capsys.readouterr().out


def test_a_folder_that_is_half_copied_fails(tmp_path, capsys):
    visual_bpe().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert doctor.run(argparse.Namespace(file=str(tmp_path), config=[])) != 0
    assert "half-copied" in capsys.readouterr().out
