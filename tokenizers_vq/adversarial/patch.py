"""A discriminator that judges each patch of an image on its own.

Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (PatchGAN, 2016); the discriminator of
VQGAN (Esser et al., 2021), here with group normalisation in place of batch normalisation, so that the judgement of one
image does not depend on the others.
"""

from __future__ import annotations

from torch import Tensor, nn

from tokenizers_vq.adversarial.discriminator import Discriminator, Judgement

_GROUP_WIDTH = 8
_MAX_FACTOR = 8


class PatchDiscriminator(Discriminator):
    """Images (B, C, H, W) of any size -> logits (B, 1, about H / 2^depth, about W / 2^depth).

    Args:
        channels: of the images.
        width: channels of the first layer, a multiple of 8; doubled with each further one up to eightfold.
        depth: strided layers; a logit sees 16, 34 and 70 pixels a side with 1, 2 and 3.

    Raises:
        ValueError: depth below 1, a width that is no multiple of 8.
    """

    def __init__(self, channels: int = 3, width: int = 64, depth: int = 3) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth={depth}: expected at least 1 strided layer")
        if width < _GROUP_WIDTH or width % _GROUP_WIDTH:
            raise ValueError(f"width={width} must be a multiple of {_GROUP_WIDTH}")
        widths = [width * min(2**i, _MAX_FACTOR) for i in range(depth + 1)]
        layers: list[nn.Module] = [
            nn.Sequential(nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
        ]
        for index, (before, after) in enumerate(zip(widths, widths[1:])):
            layers.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 4, stride=2 if index < depth - 1 else 1, padding=1, bias=False),
                    nn.GroupNorm(after // _GROUP_WIDTH, after),
                    nn.LeakyReLU(0.2),
                )
            )
        self.layers = nn.ModuleList(layers)
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, media: Tensor) -> Judgement:
        """Judge images in the units of the reconstruction."""
        features = []
        for layer in self.layers:
            media = layer(media)
            features.append(media)
        return Judgement([self.head(media)], features)
