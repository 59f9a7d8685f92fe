"""Images to codes that stand for what a teacher sees, not for pixels.

Peng et al., "BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers" (VQ-KD, 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from tokenizers_vq.frozen import Frozen
from tokenizers_vq.health import per_codebook
from tokenizers_vq.layers.transformer import PatchEncoder, TokenDecoder, check_transformer, tanh_bottleneck
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.trainable import Preview, TokenizerOutput
from tokenizers_vq.vision.base import ImageTokenizer, as_pair

_PREVIEWED = 16


class VQKD(ImageTokenizer):
    """Images (B, C, H, W) float in [0, 1] -> codes (B, H / patch, W / patch, Q), targets for masked models.

    The paper's: patch 16, width 768, depth 12, `CosineVQ(8192, 32)`, a decoder of 3 blocks. Codes have no pixels:
    `decode` refuses, `features` gives what the decoder makes of them.

    Args:
        quantizer: of latents of width `quantizer.dim`; CosineVQ in the paper.
        teacher: what is learned from; None where the tokenizer is only used. Folders leave it out.
        teacher_dim: width of its features.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        patch_size: pixels of a token along each axis.
        width: of the transformers.
        depth: blocks of the encoder.
        decoder_depth: blocks of the decoder; fewer keep more codes in use.
        num_heads: attention heads.

    Raises:
        ValueError: sizes that do not fit together; in training, no teacher or features of another shape.
    """

    training_only: ClassVar[tuple[str, ...]] = ("teacher",)

    def __init__(
        self,
        quantizer: Quantizer,
        teacher: nn.Module | None = None,
        teacher_dim: int = 768,
        image_size: int | Sequence[int] = 224,
        channels: int = 3,
        patch_size: int = 16,
        width: int = 768,
        depth: int = 12,
        decoder_depth: int = 3,
        num_heads: int = 12,
    ) -> None:
        check_transformer(width, min(depth, decoder_depth), num_heads, patch_size)
        height, columns = size = as_pair(image_size)
        if height % patch_size or columns % patch_size:
            raise ValueError(f"image_size={image_size} must be a multiple of patch_size={patch_size}")
        grid = (height // patch_size, columns // patch_size)
        super().__init__(quantizer, size, channels, grid, stride=(patch_size, patch_size))
        self.teacher_dim = teacher_dim
        self.teacher = None if teacher is None else Frozen(teacher)
        self.encoder = PatchEncoder(grid, channels, patch_size, width, depth, num_heads)
        self.to_code = tanh_bottleneck(width, quantizer.dim)
        self.from_code = nn.Linear(quantizer.dim, width)
        self.decoder = TokenDecoder(grid[0] * grid[1], width, decoder_depth, num_heads)
        self.to_features = tanh_bottleneck(width, teacher_dim)

    @property
    def has_decoder(self) -> bool:
        """False: codes have no pixels."""
        return False

    def latents(self, x_BCHW: Tensor) -> Tensor:
        """(B, Y, X, D) of images in [-1, 1]."""
        return self.to_code(self.encoder(x_BCHW)).unflatten(1, self.spec.shape())

    def decode(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Always raises ValueError."""
        raise ValueError(
            "VQ-KD codes stand for a teacher's features and have no pixels; expected a use as targets: "
            "`features(codes)` gives the predicted features"
        )

    @torch.no_grad()
    def features(self, codes: Tensor | Sequence[Tensor]) -> Tensor:
        """Predicted features (B, Y, X, teacher_dim) of codes (B, Y, X, Q).

        Raises:
            ValueError: codes that do not fit the spec.
        """
        return self._predicted(self.code_latents(codes))

    def forward(self, media: Tensor, lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target (B, Y, X, teacher_dim), the loss is 1 - cosine, on average."""
        x_BCHW = self.checked(media)
        target = self._taught(media)
        out = self.quantizer(self.latents(x_BCHW))
        predicted = self._predicted(out.latents)
        distance = (1 - cosine_similarity(predicted, target, dim=-1)).mean()
        return TokenizerOutput(
            loss=distance + out.loss,
            reconstruction=predicted,
            codes=out.codes.reshape(-1, out.codes.shape[-1]),
            parts={"reconstruction": distance, "quantizer": out.loss},
            metrics=per_codebook(out.metrics),
            target=target,
        )

    @torch.no_grad()
    def preview(self, media: Tensor, lengths: Tensor | None = None) -> Preview:
        """One picture: a row of originals above maps of their codes, alike in colour where alike in features."""
        shown = media[:_PREVIEWED].float().cpu()
        colours_BCYX = _colours(self.features(self.encode(media[:_PREVIEWED])).float().cpu())
        maps = nn.functional.interpolate(colours_BCYX, self.size, mode="nearest")
        rows = [torch.cat(list(images), dim=-1) for images in (shown.expand(-1, 3, -1, -1), maps)]
        return Preview(pictures={"codes": torch.cat(rows, dim=-2)})

    def _predicted(self, latents: Tensor) -> Tensor:
        tokens_BNC = self.decoder(self.from_code(latents).flatten(1, 2))
        return self.to_features(tokens_BNC).unflatten(1, self.spec.shape())

    def _taught(self, media: Tensor) -> Tensor:
        if self.teacher is None:
            raise ValueError("VQKD has no teacher, expected one for training; give teacher=TimmTeacher(...)")
        with torch.no_grad():
            target: Tensor = self.teacher(media.float())
        expected = (media.shape[0], *self.spec.shape(), self.teacher_dim)
        if target.shape != expected:
            raise ValueError(
                f"the teacher's features have shape {tuple(target.shape)}, expected {expected}: give it images of "
                "a size that makes as many patches as the pupil has, and its width as teacher_dim"
            )
        return target


def _colours(features_BYXD: Tensor) -> Tensor:
    """(B, 3, Y, X) in [0, 1]: the three directions along which the features differ most, as red, green and blue."""
    flat_ND = features_BYXD.flatten(0, 2)
    flat_ND = flat_ND - flat_ND.mean(dim=0)
    _, _, directions = torch.linalg.svd(flat_ND, full_matrices=False)
    shown = nn.functional.pad(flat_ND @ directions[:3].t(), (0, 3))[:, :3]
    low, high = shown.amin(dim=0), shown.amax(dim=0)
    scaled = (shown - low) / (high - low).clamp(min=1e-6)
    return scaled.view(*features_BYXD.shape[:3], -1).permute(0, 3, 1, 2)
