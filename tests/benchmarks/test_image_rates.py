import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.rate_distortion.budget import Budget
from benchmarks.rate_distortion.image import EMOJI, PHOTOS, Case, compare
from benchmarks.rate_distortion.patch_kmeans import PatchKMeans
from benchmarks.rate_distortion.picture_codecs import PictureCodec, at_bits
from benchmarks.rate_distortion.stills import Stills
from datamodules.photo_media import PhotoImages

QUICK = Budget(is_quick=True)


@pytest.fixture(scope="module")
def stills() -> Stills:
    """Real photographs; of each crop only the upper half counts as drawn."""
    data = PhotoImages(4, 1, 64)
    test = data.corpus.grid("test")[48:54]
    is_drawn = torch.zeros(6, 1, 64, 64, dtype=torch.bool)
    is_drawn[:, :, :32] = True
    return Stills("toy", data, data.corpus.grid("val")[:24], test, is_drawn)


def test_our_row_stands_beside_its_peers(stills: Stills, tmp_path: Path) -> None:
    small = {"width": 8}
    cases = [
        Case("VQ", "emoji_vqgan", changes=small, goal_db=1.5, goal_usage=0.6),
        Case("FSQ", "emoji_fsq", changes=small),
    ]
    rows = list(compare(stills, cases, Budget(is_quick=True, save_to=tmp_path)))
    names = [row["case"] for row in rows]
    assert names[0] == "k-means of 8 x 8 patches"
    assert names[-2:] == ["VQ", "FSQ"]
    for name in ("JPEG", "WEBP"):
        assert {f"{name}, headers counted", f"{name}, headers left out"} < set(names)
    patches, ours = rows[0], rows[-2]
    assert patches["tokens"] == ours["tokens"] == 64
    assert patches["bits"] == ours["bits"] == 640
    assert ours["gain_db"] == pytest.approx(ours["psnr_drawn"] - patches["psnr_drawn"], abs=0.011)
    assert ours["gain_mean_db"] == pytest.approx(
        ours["psnr_drawn_mean"] - patches["psnr_drawn_mean"], abs=0.011
    )
    assert ours["is_reached"] is False  # four steps
    assert "is_reached" not in rows[-1]
    assert ours["steps"] == 4
    assert len(list(tmp_path.glob("*/originals_above_decoded.png"))) == 2


@pytest.mark.parametrize(
    "case", {case.config: case for case in EMOJI + PHOTOS}.values(), ids=lambda c: c.config
)
def test_every_case_has_1024_codes_and_the_seed_makes_its_weights(case: Case) -> None:
    one, two = case.module(3), case.module(3)
    assert one.tokenizer.spec.codebook_size == 1024
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))


def test_patches_come_back_and_a_patch_that_is_a_code_is_exact() -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    exact = PatchKMeans(images, 4, 8, seed=0)
    codes = exact.encode(images)
    assert codes.shape == (2, 2, 2)
    assert codes.unique().numel() == 8
    assert torch.allclose(exact.decode(codes), images, atol=1e-6)
    with pytest.raises(ValueError, match="8 patches, expected at least num_codes=9"):
        PatchKMeans(images, 4, 9, seed=0)


@pytest.mark.parametrize("name, bits", [("JPEG", 8_000), ("WEBP", 4_000)])
def test_codecs_spend_the_bits_or_the_nearest_more(stills: Stills, name: str, bits: int) -> None:
    codec = PictureCodec(name)
    decoded, spent = at_bits(codec, stills.held_out, bits, has_header=True)
    assert decoded.shape == stills.held_out.shape
    assert bits <= spent < 1.3 * bits
    assert float((decoded - stills.held_out).square().mean()) < 0.01
    _, without = at_bits(codec, stills.held_out, bits, has_header=False)
    assert without >= bits
    small, fewer = at_bits(codec, stills.held_out, 1, has_header=True, shrink=4)
    assert small.shape == stills.held_out.shape
    assert fewer < bits
    _, most = at_bits(codec, stills.held_out, 10**9, has_header=True)
    assert spent < most < math.inf


@pytest.mark.parametrize("name", ["JPEG", "WEBP"])
def test_headers_are_alike_in_all_files(name: str) -> None:
    codec, generator = PictureCodec(name), torch.Generator().manual_seed(0)
    sizes = set()
    for _ in range(3):
        pixels = torch.randint(256, (64, 64, 3), generator=generator, dtype=torch.uint8)
        data = codec.encode(Image.fromarray(pixels.numpy()), 50)
        sizes.add(codec.header_bytes(data))
        assert codec.num_bits(data, True) == 8 * len(data)
        assert codec.num_bits(data, False) == 8 * (len(data) - codec.header_bytes(data))
    assert len(sizes) == 1
