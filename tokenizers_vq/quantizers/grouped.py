"""Grouped quantization: the channels are split, and each part has a quantizer of its own.

Yang et al., "HiFi-Codec: Group-residual Vector Quantization for High Fidelity Audio Codec" (2023); product
quantization (Jegou, Douze and Schmid, 2011) where the parts are VectorQuantizers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer


class GroupedQuantizer(Quantizer):
    """Latents are the groups' latents side by side, codes the groups' codes side by side.

    Args:
        groups: quantizers of any kind, with codebooks of one size; give each its own seed.

    Raises:
        ValueError: no groups, or codebooks of different sizes.
    """

    def __init__(self, groups: Sequence[Quantizer]) -> None:
        super().__init__()
        sizes = {group.codebook_size for group in groups}
        if len(sizes) != 1:
            raise ValueError(
                f"groups with codebooks of sizes {sorted(sizes)}: expected at least one, all of one size"
            )
        self.codebook_size = sizes.pop()
        self.dim = sum(group.dim for group in groups)
        self.num_codebooks = sum(group.num_codebooks for group in groups)
        self.groups = nn.ModuleList(groups)

    def encode(self, latents: Tensor) -> Tensor:
        """Codes (..., Q) int64 of latents (..., dim), the first group's first."""
        self.check_latents(latents)
        return torch.cat([group.encode(part) for group, part in self._parts(latents)], dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Latents (..., dim) of codes (..., Q)."""
        groups = self._groups()
        parts = codes.split([group.num_codebooks for group in groups], dim=-1)
        return torch.cat([group.decode(part) for group, part in zip(groups, parts)], dim=-1)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """Quantize each group; the loss is the groups' mean, metrics have "/index" of the codebook appended."""
        self.check_latents(latents, is_valid)
        outs = [group(part, is_valid) for group, part in self._parts(latents)]
        metrics: dict[str, Tensor] = {}
        first = 0
        for group, out in zip(self._groups(), outs):
            metrics |= numbered(out.metrics, first)
            first += group.num_codebooks
        return Quantized(
            torch.cat([out.latents for out in outs], dim=-1),
            torch.cat([out.codes for out in outs], dim=-1),
            torch.stack([out.loss for out in outs]).mean(),
            metrics,
        )

    def _groups(self) -> list[Quantizer]:
        return [group for group in self.groups if isinstance(group, Quantizer)]

    def _parts(self, latents: Tensor) -> list[tuple[Quantizer, Tensor]]:
        groups = self._groups()
        return list(zip(groups, latents.split([group.dim for group in groups], dim=-1)))


def numbered(metrics: dict[str, Tensor], first: int) -> dict[str, Tensor]:
    """Metrics of a part whose codebooks are number `first` and on: "usage" -> "usage/first"."""
    out: dict[str, Tensor] = {}
    for name, value in metrics.items():
        kind, _, index = name.partition("/")
        out[f"{kind}/{first + int(index or 0)}"] = value
    return out
