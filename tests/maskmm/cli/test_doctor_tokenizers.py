"""`maskmm doctor` on the folder of a tokenizer: 16 samples through media and back, whatever tokenizer it is."""

import argparse

import pytest
import torch

from maskmm.cli import doctor
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.text import WordPieceText
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


def test_a_folder_that_is_half_copied_fails(tmp_path, capsys):
    visual_bpe().save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert doctor.run(argparse.Namespace(file=str(tmp_path), config=[])) != 0
    assert "half-copied" in capsys.readouterr().out
