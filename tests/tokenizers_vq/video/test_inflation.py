"""An inflated tokenizer does to a frame exactly what the image tokenizer does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tokenizers_vq.quantizers import FSQ, LFQ, ProjectedQuantizer, VectorQuantizer
from tokenizers_vq.video import CausalVideoCNN, inflate
from tokenizers_vq.vision import VQGAN, PixelLoss, ViTTokenizer


def image_tokenizer(**changes: Any) -> VQGAN:
    settings: dict[str, Any] = {
        "quantizer": VectorQuantizer(16, 4),
        "image_size": 16,
        "width": 8,
        "multipliers": (1, 2),
        "num_blocks": 1,
        "stem_stride": 2,
    }
    torch.manual_seed(0)
    tokenizer = VQGAN(**(settings | changes))
    for parameter in tokenizer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    tokenizer.train()(images(8))
    return tokenizer.eval()


def images(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("changes", "timed"),
    [
        ({}, {"time_strides": (2, 2)}),
        ({"stem_stride": 1, "has_attention": True}, {"time_strides": (1, 3)}),
        ({"quantizer": ProjectedQuantizer(6, LFQ(6))}, {"time_strides": (4, 1), "kernel_time": 2}),
        (
            {"quantizer": ProjectedQuantizer(6, FSQ((5, 3))), "loss": PixelLoss(0.0, 2.0)},
            {"time_strides": (1, 1), "kernel_time": 1},
        ),
    ],
)
def test_frames_are_encoded_and_decoded_as_images(changes: dict[str, Any], timed: dict[str, Any]) -> None:
    image = image_tokenizer(**changes)
    video = inflate(image, **timed)
    stride, frames = video.grid.stride, images(2 * video.grid.stride + 1)
    codes = image.encode(frames)

    (one,) = video.encode([frames[:1]])
    assert torch.equal(one, codes[:1])
    torch.testing.assert_close(video.decode([one])[0], image.decode(codes[:1]), atol=1e-6, rtol=0)

    still = frames[:1].expand(2 * stride + 1, -1, -1, -1)
    (same,) = video.encode([still])
    assert torch.equal(same, codes[:1].expand(3, -1, -1, -1))
    decoded = image.decode(codes[:1]).expand(len(still), -1, -1, -1)
    torch.testing.assert_close(video.decode([same])[0], decoded, atol=1e-6, rtol=0)

    (moving,) = video.encode([frames])
    assert torch.equal(moving, codes[::stride])
    held = image.decode(codes[::stride])[[0] + [1] * stride + [2] * stride]
    torch.testing.assert_close(video.decode([moving])[0], held, atol=1e-6, rtol=0)


def test_what_is_taken_over() -> None:
    image = image_tokenizer(loss=PixelLoss(0.1, 4.0)).at((16, 24))
    video = inflate(image, (2, 2), max_length=9, rate=12.5)
    assert (video.spec.grid, video.spec.max_length, video.spec.rate) == ((None, 4, 6), 9, 12.5)
    assert (video.loss.l1, video.loss.l2) == (0.1, 4.0)
    assert not video.training
    before = {name: value.clone() for name, value in image.state_dict().items()}
    optimizer = torch.optim.SGD(video.parameters(), lr=0.1)
    video.train()([torch.rand(5, 3, 16, 24)]).loss.backward()
    optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in image.state_dict().items())
    slices = [p for name, p in video.named_parameters() if p.ndim == 5 and p.shape[2] > 1]
    assert all(p[:, :, :-1].abs().sum() > 0 for p in slices)  # training takes the past into use


def test_a_config_names_the_folder_to_start_from(tmp_path: Path) -> None:
    image = image_tokenizer()
    image.save(tmp_path / "image")

    def started(folder: str, **changes: Any) -> CausalVideoCNN:
        settings: dict[str, Any] = {"quantizer": VectorQuantizer(16, 4), "image_size": 16, "width": 8}
        settings |= {"multipliers": (1, 2), "num_blocks": 1, "stem_stride": 2, "time_strides": (2, 2)}
        return CausalVideoCNN(**(settings | changes), inflate_from=tmp_path / folder).eval()

    video = started("image")
    assert torch.equal(video.encode([images(1)])[0], image.encode(images(1)))
    video.save(tmp_path / "video")
    (tmp_path / "image").rename(tmp_path / "moved")  # a trained tokenizer needs it no more
    assert torch.equal(
        CausalVideoCNN.load(tmp_path / "video").encode([images(1)])[0], image.encode(images(1))
    )
    assert video.at(max_length=3).spec.max_length == 3
    ViTTokenizer(VectorQuantizer(16, 4), 16, patch_size=4, width=16, depth=1, num_heads=2).save(
        tmp_path / "vit"
    )
    for folder, changes, named in [
        ("vit", {}, "expected a VQGAN"),
        ("none", {}, "does not exist"),
        ("moved", {"num_blocks": 2}, "has no weights"),
        ("moved", {"stem_stride": 1}, "expected"),
        ("moved", {"width": 16}, "same channels, width"),
        ("moved", {"quantizer": VectorQuantizer(32, 4)}, "quantizer"),
    ]:
        with pytest.raises(ValueError, match=named):
            started(folder, **changes)


def test_other_tokenizers_are_refused() -> None:
    other: Any = ViTTokenizer(VectorQuantizer(16, 4), 16, patch_size=4, width=16, depth=1, num_heads=2)
    with pytest.raises(ValueError, match="ViTTokenizer"):
        inflate(other, (2, 2))
    with pytest.raises(ValueError, match="time_strides"):
        inflate(image_tokenizer(), (2, 2, 2))
