"""Binary spherical quantization: lookup-free on the unit sphere, where the error of a code is bounded.

Zhao, Xiong and Kraehenbuehl, "Image and Video Tokenization with Binary Spherical Quantization" (2024).
"""

from __future__ import annotations

from torch import Tensor, nn

from tokenizers_vq.quantizers.binary import BinaryQuantizer
from tokenizers_vq.quantizers.bits import BitEntropy


class BSQ(BinaryQuantizer):
    """2^dim codes at the corners of a cube within the unit sphere; the gradient passes the normalisation.

    Args:
        dim: channels, each one bit; ProjectedQuantizer brings other widths to it.
        num_codebooks: sub-ids that an id is split into; above 24 channels more than one is needed.
        entropy: the entropy terms, by default with every bit taken as independent (the paper's approximation); a weight
            of 0 leaves them out.
        commitment: weight of the loss that draws latents to their corners; the bound makes it optional.

    Raises:
        ValueError: dim below 1 or not divisible by num_codebooks, or more than 24 bits in a codebook.
    """

    def __init__(
        self,
        dim: int,
        num_codebooks: int = 1,
        entropy: BitEntropy | None = None,
        commitment: float = 0.0,
    ) -> None:
        super().__init__(dim, num_codebooks, dim**-0.5, entropy or BitEntropy(group_bits=1), commitment)

    def place(self, latents: Tensor) -> Tensor:
        """The latents on the unit sphere."""
        return nn.functional.normalize(latents, dim=-1)
