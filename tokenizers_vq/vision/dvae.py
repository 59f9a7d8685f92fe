"""The discrete VAE of DALL-E, whose codes BEiT predicts.

Ramesh et al., "Zero-Shot Text-to-Image Generation" (2021), section 2.1 and appendix A; Bao et al., "BEiT" (2021). BEiT
shows it a second view of the same crop at half the side, so that its tokens meet the backbone's 16-pixel patches: that
is the data's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tokenizers_vq.layers.convolutional import feature_map
from tokenizers_vq.layers.discrete_vae import discrete_decoder, discrete_encoder
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.vision.pixel_loss import LogitLaplace
from tokenizers_vq.vision.resolutions import AnyResolutionTokenizer


class DVAE(AnyResolutionTokenizer):
    """Images (B, C, H, W) float in [0, 1] <-> codes (B, H / f, W / f, Q), f = 2^(num_groups - 1).

    DALL-E's is `DVAE(GumbelQuantizer(8192, 128), width=256)`, but that its encoder's last layer gives the logits at
    once: here it gives latents, which the quantizer's own linear layer turns into logits.

    Args:
        quantizer: GumbelQuantizer in the paper; any other works.
        image_size: height and width in pixels; see `at` for use at another size.
        channels: 1 (grey) or 3 (RGB).
        width: channels of the first group, a multiple of 4; doubled in each further one.
        num_groups: levels of resolution.
        num_blocks: residual blocks of each.
        loss: of pixels; the paper's where not given.
        train_sizes: several resolutions in training, see AnyResolutionTokenizer.
        seed: of the draw of those.

    Raises:
        ValueError: sizes that do not fit together.
    """

    loss: LogitLaplace

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int] = 112,
        channels: int = 3,
        width: int = 256,
        num_groups: int = 4,
        num_blocks: int = 2,
        loss: LogitLaplace | None = None,
        train_sizes: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        if width < 4 or width % 4:
            raise ValueError(f"width={width} must be a multiple of 4")
        if num_groups < 1 or num_blocks < 1:
            raise ValueError(f"num_groups={num_groups} and num_blocks={num_blocks} must be at least 1")
        super().__init__(quantizer, image_size, channels, 2 ** (num_groups - 1), train_sizes, seed)
        self.encoder = discrete_encoder(channels, width, num_groups, num_blocks, quantizer.dim)
        self.decoder = discrete_decoder(quantizer.dim, width, num_groups, num_blocks, 2 * channels)
        self.loss = loss or LogitLaplace()

    def images(self, latents: Tensor) -> Tensor:
        """(B, C, H, W), about in [-1, 1], of quantized latents (B, Y, X, D): the likeliest ones."""
        return self.loss.mode(self.decoder(feature_map(latents)))

    def output(self, x_BCHW: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Likeliest reconstruction, and the negative log-likelihood."""
        parameters = self.decoder(feature_map(latents))
        return self.loss.mode(parameters), {"reconstruction": self.loss(parameters, x_BCHW)}

    def last_layer(self) -> nn.Parameter:
        """Weight of the last convolution."""
        return self.decoder[-1].weight  # type: ignore[return-value]
