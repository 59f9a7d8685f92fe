"""Lookup-free quantization: the code is the sign of each channel.

Yu et al., "Language Model Beats Diffusion: Tokenizer is Key to Visual Generation" (MAGVIT-v2, 2023).
"""

from __future__ import annotations

from torch import Tensor

from tokenizers_vq.quantizers.binary import BinaryQuantizer
from tokenizers_vq.quantizers.bits import BitEntropy


class LFQ(BinaryQuantizer):
    """2^dim codes at the corners of {-1, 1}^dim; 18 channels make MAGVIT-v2's 262,144 codes.

    Args:
        dim: channels, each one bit; ProjectedQuantizer brings other widths to it.
        num_codebooks: sub-ids that an id is split into, e.g. 2 of 2^9 for 18 channels.
        entropy: the entropy terms, by default BitEntropy(); a weight of 0 leaves them out.
        commitment: weight of the loss that draws latents to their corners.

    Raises:
        ValueError: dim below 1 or not divisible by num_codebooks, or more than 24 bits in a codebook.
    """

    def __init__(
        self,
        dim: int,
        num_codebooks: int = 1,
        entropy: BitEntropy | None = None,
        commitment: float = 0.25,
    ) -> None:
        super().__init__(dim, num_codebooks, 1.0, entropy or BitEntropy(), commitment)

    def place(self, latents: Tensor) -> Tensor:
        """The latents as they are."""
        return latents
