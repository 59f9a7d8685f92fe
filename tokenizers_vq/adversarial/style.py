"""A discriminator that gives one logit an image.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2019): residual blocks that blur before they
halve the resolution, and the spread over the batch as one more channel (Karras et al., 2017). MaskGIT and MAGVIT train
their tokenizers against it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tokenizers_vq.adversarial.discriminator import Discriminator, Judgement

_LAST_SIDE = 4
_MAX_FACTOR = 8


class StyleDiscriminator(Discriminator):
    """Images (B, C, H, W) -> logits (B, 1).

    Args:
        image_size: height and width it is built for, a power of 2 from 8; other sizes are averaged to 4 x 4 at last.
        channels: of the images.
        width: channels at full resolution; doubled with each halving up to eightfold.
        group_size: samples over which the spread is taken; a batch that it does not divide is one group.

    Raises:
        ValueError: an image_size that is no power of 2 from 8, width or group_size below 1.
    """

    def __init__(self, image_size: int = 64, channels: int = 3, width: int = 64, group_size: int = 4) -> None:
        super().__init__()
        if image_size < 2 * _LAST_SIDE or image_size & (image_size - 1):
            raise ValueError(f"image_size={image_size}: expected a power of 2 from {2 * _LAST_SIDE}")
        if width < 1 or group_size < 1:
            raise ValueError(f"width={width} and group_size={group_size} must be at least 1")
        self.group_size = group_size
        num_halvings = int(math.log2(image_size // _LAST_SIDE))
        widths = [width * min(2**i, _MAX_FACTOR) for i in range(num_halvings + 1)]
        self.stem = nn.Sequential(nn.Conv2d(channels, width, 1), nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList(_Block(a, b) for a, b in zip(widths, widths[1:]))
        last = widths[-1]
        self.mix = nn.Sequential(nn.Conv2d(last + 1, last, 3, padding=1), nn.LeakyReLU(0.2))
        self.head = nn.Sequential(
            nn.Linear(last * _LAST_SIDE**2, last), nn.LeakyReLU(0.2), nn.Linear(last, 1)
        )

    def forward(self, media: Tensor) -> Judgement:
        """Judge images in the units of the reconstruction."""
        hidden = self.stem(media)
        features = []
        for block in self.blocks:
            hidden = block(hidden)
            features.append(hidden)
        hidden = nn.functional.adaptive_avg_pool2d(hidden, _LAST_SIDE)
        hidden = self.mix(torch.cat([hidden, self._spread(hidden)], dim=1))
        return Judgement([self.head(hidden.flatten(1))], features)

    def _spread(self, hidden_BCHW: Tensor) -> Tensor:
        """(B, 1, H, W): mean over channels and places of the standard deviation within each group of samples."""
        batch, _, height, width = hidden_BCHW.shape
        group = self.group_size if batch % self.group_size == 0 else batch
        grouped = hidden_BCHW.unflatten(0, (group, -1))  # samples i, i + B / group, ... form a group
        # The small number keeps the gradient of the root finite where all samples agree.
        deviation = (grouped.var(dim=0, correction=0) + 1e-8).sqrt().flatten(1).mean(dim=1)
        return deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)


class _Block(nn.Module):
    """Two convolutions and a skip, both blurred and halved."""

    blur_33: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, in_channels, 3, padding=1)
        self.second = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        tap = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("blur_33", tap[:, None] * tap, persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        activate = nn.functional.leaky_relu
        body = activate(self.second(self._blurred(activate(self.first(x_BCHW), 0.2), stride=1)), 0.2)
        skip = self.skip(self._blurred(x_BCHW, stride=2))
        return (body + skip) * 2**-0.5

    def _blurred(self, x_BCHW: Tensor, stride: int) -> Tensor:
        width = x_BCHW.shape[1]
        kernel = self.blur_33.expand(width, 1, 3, 3).to(x_BCHW.dtype)
        return nn.functional.conv2d(x_BCHW, kernel, stride=stride, padding=1, groups=width)
