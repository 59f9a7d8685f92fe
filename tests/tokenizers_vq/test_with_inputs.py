"""Codes of one tokenizer beside the inputs of another."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.image_patches import ImagePatches
from tokenizers_vq.vectors import FrozenVectors
from tokenizers_vq.with_inputs import TokenizerWithInputs

IMAGES = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def codes() -> ImageVQ:
    torch.manual_seed(0)
    return ImageVQ(image_size=16, width=8, num_blocks=1, codebook_size=16, code_dim=4).eval()


def patches(mean: float = 0.5, patch_size: int = 4) -> ImagePatches:
    return ImagePatches((16, 16), patch_size, (mean,), (0.5,))


def test_each_does_its_part(tmp_path: Path) -> None:
    both = TokenizerWithInputs(codes(), patches())
    assert both.spec == codes().spec and both.media == "image" and both.has_encoder and both.has_decoder
    both.save(tmp_path / "both")
    for given in (both, load_tokenizer(tmp_path / "both")):
        assert torch.equal(given.encode(IMAGES), codes().encode(IMAGES))
        assert torch.equal(given.decode(given.encode(IMAGES)), codes().decode(codes().encode(IMAGES)))
        found, wanted = given.inputs(IMAGES), patches().inputs(IMAGES)
        assert found is not None and torch.equal(found, wanted)
        assert torch.equal(given.code_vectors(), codes().code_vectors())
        assert given.fingerprint() == both.fingerprint()


def test_fingerprints_tell_both_apart() -> None:
    torch.manual_seed(1)
    other = ImageVQ(image_size=16, width=8, num_blocks=1, codebook_size=16, code_dim=4)
    made = [(codes(), patches()), (codes(), patches(0.4)), (other, patches())]
    assert len({TokenizerWithInputs(*pair).fingerprint() for pair in made}) == 3


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ImageVQ .*\(4, 4\).* beside inputs of ImagePatches .*\(2, 2\)"):
        TokenizerWithInputs(codes(), patches(patch_size=8))
    with pytest.raises(ValueError, match="beside inputs of FrozenVectors .*expected one kind of media"):
        TokenizerWithInputs(codes(), FrozenVectors(5))
