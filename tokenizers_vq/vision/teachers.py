"""Teachers whose features a tokenizer learns to predict."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from tokenizers_vq.vision.base import as_pair
from tokenizers_vq.vision.features import build_timm
from tokenizers_vq.vision.normalisation import Normalise


class Teacher(nn.Module, ABC):
    """Images (B, C, H, W) float in [0, 1] -> features (B, Y, X, D), one vector a token of the pupil."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Features (B, Y, X, D), which need no gradient."""


class TimmTeacher(Teacher):
    """Patch features of a timm vision transformer, normalised as its configuration says.

    BEiT v2's are `vit_base_patch16_clip_224.openai` with its projection (512-d) and DINO's
    `vit_base_patch16_224.dino` (768-d).

    Args:
        weights: its file.
        model: timm's name.
        image_size: to which images are brought first; choose it so that the teacher's patches are the pupil's
            tokens: a pupil of 8 x 8 tokens and a teacher of 16-pixel patches want 128.
        is_projected: features after the last linear layer (CLIP's projection), not before it.

    Raises:
        ValueError: a name that timm does not know, or a file that does not fit.
    """

    def __init__(
        self,
        weights: Path | str,
        model: str = "vit_base_patch16_224.dino",
        image_size: int | Sequence[int] = 224,
        is_projected: bool = False,
    ) -> None:
        super().__init__()
        size = as_pair(image_size)
        self.network = build_timm(model, weights, size, has_head=is_projected)
        if not hasattr(self.network, "num_prefix_tokens") or not hasattr(self.network, "patch_embed"):
            raise ValueError(f"model={model!r} is no vision transformer of timm; expected one with patches")
        configuration = self.network.pretrained_cfg
        self.normalise = Normalise(configuration["mean"], configuration["std"], size)
        self.is_projected = is_projected

    def forward(self, images: Tensor) -> Tensor:
        """(B, Y, X, D), D the model's width, or that of its projection."""
        tokens_BND = self.network.forward_features(self.normalise(images))
        tokens_BND = tokens_BND[:, self.network.num_prefix_tokens :]
        if self.is_projected:
            tokens_BND = self.network.head(tokens_BND)
        return tokens_BND.unflatten(1, self.network.patch_embed.grid_size)
