import pytest
import torch
from torch import Tensor

from tokenizers_vq.adversarial import (
    Discriminator,
    FrameDiscriminator,
    GradientPenalty,
    MultiDiscriminator,
    PatchDiscriminator,
    StyleDiscriminator,
    VideoPatchDiscriminator,
)


def videos(batch: int = 2, frames: int = 5, side: int = 32) -> Tensor:
    return torch.rand(batch, 3, frames, side, side, generator=torch.Generator().manual_seed(0))


def made(kind: str) -> Discriminator:
    torch.manual_seed(0)
    frames = FrameDiscriminator(PatchDiscriminator(width=8, depth=2))
    patches = VideoPatchDiscriminator(width=8, depth=2)
    kinds = {
        "frames": frames,
        "style": FrameDiscriminator(StyleDiscriminator(32, width=4, group_size=1)),
        "patches": patches,
        "both": MultiDiscriminator([frames, patches]),
    }
    return kinds[kind]


@pytest.mark.parametrize("kind", ["frames", "style", "patches", "both"])
def test_each_video_is_judged_alone(kind: str) -> None:
    discriminator = made(kind)
    whole, one = discriminator(videos()), discriminator(videos()[1:])
    for a, b in zip(whole.logits + whole.features, one.logits + one.features):
        torch.testing.assert_close(a[1:], b, atol=1e-5, rtol=1e-4)
    penalty = GradientPenalty(every=1)(discriminator, videos())
    assert penalty.isfinite() and penalty > 0


def test_frames_are_judged_as_images() -> None:
    judge = made("frames")
    assert isinstance(judge, FrameDiscriminator)
    said = judge(videos())
    assert [tuple(x.shape) for x in said.logits] == [(2, 5, 1, 6, 6)]
    for t in range(5):
        alone = judge.discriminator(videos()[:, :, t])
        torch.testing.assert_close(said.logits[0][:, t], alone.logits[0])
        torch.testing.assert_close(said.features[1][:, t], alone.features[1])


def test_patches_of_time_see_the_order_of_frames() -> None:
    judge = made("patches")
    video = videos(1)
    said, backwards = judge(video).logits[0], judge(video.flip(2)).logits[0]
    assert said.shape == (1, 1, 3, 7, 7)
    assert not torch.allclose(said.mean(), backwards.mean())
    assert judge(videos(1, frames=1)).logits[0].shape == (1, 1, 1, 7, 7)  # an image


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"width": 12}])
def test_wrong_arguments_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VideoPatchDiscriminator(**wrong)
