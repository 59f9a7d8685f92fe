"""Discriminators of videos: each frame on its own, or patches of space and time.

Ge et al., "Long Video Generation with Time-Agnostic VQGAN and Time-Sensitive Transformer" (TATS, 2022), judges by both.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.adversarial.discriminator import Discriminator, Judgement

_GROUP_WIDTH = 8
_MAX_FACTOR = 8


class FrameDiscriminator(Discriminator):
    """Videos (B, C, T, H, W): an image discriminator's judgement of every frame, logits (B, T, ...).

    Args:
        discriminator: of images (B, C, H, W), e.g. PatchDiscriminator or StyleDiscriminator.
    """

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, media: Tensor) -> Judgement:
        """Judge videos in the units of the reconstruction."""
        said: Judgement = self.discriminator(rearrange(media, "b c t h w -> (b t) c h w"))

        def unfolded(parts: list[Tensor]) -> list[Tensor]:
            return [part.unflatten(0, (media.shape[0], media.shape[2])) for part in parts]

        return Judgement(unfolded(said.logits), unfolded(said.features))


class VideoPatchDiscriminator(Discriminator):
    """Videos (B, C, T, H, W) of any size -> logits (B, 1, T', H', W'), each of a patch of space and time.

    PatchDiscriminator with kernels of 4 x 4 pixels and 3 frames; height and width are halved by each strided layer,
    time by each but the first. It sees movement, and so flicker, which a judge of frames does not.

    Args:
        channels: of the videos.
        width: channels of the first layer, a multiple of 8; doubled with each further one up to eightfold.
        depth: strided layers.

    Raises:
        ValueError: depth below 1, a width that is no multiple of 8.
    """

    def __init__(self, channels: int = 3, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth={depth}: expected at least 1 strided layer")
        if width < _GROUP_WIDTH or width % _GROUP_WIDTH:
            raise ValueError(f"width={width} must be a multiple of {_GROUP_WIDTH}")
        widths = [width * min(2**index, _MAX_FACTOR) for index in range(depth)]
        layers: list[nn.Module] = [nn.Sequential(_conv(channels, width, (1, 2, 2)), nn.LeakyReLU(0.2))]
        for before, after in zip(widths, widths[1:]):
            norm = nn.GroupNorm(after // _GROUP_WIDTH, after)
            layers.append(nn.Sequential(_conv(before, after, (2, 2, 2)), norm, nn.LeakyReLU(0.2)))
        self.layers = nn.ModuleList(layers)
        self.head = _conv(widths[-1], 1, (1, 1, 1))

    def forward(self, media: Tensor) -> Judgement:
        """Judge videos in the units of the reconstruction."""
        features = []
        for layer in self.layers:
            media = layer(media)
            features.append(media)
        return Judgement([self.head(media)], features)


def _conv(in_channels: int, out_channels: int, stride: tuple[int, int, int]) -> nn.Conv3d:
    return nn.Conv3d(in_channels, out_channels, (3, 4, 4), stride, padding=1)
