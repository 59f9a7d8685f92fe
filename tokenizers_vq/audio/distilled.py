"""Codes that stand for what a masked model of sound has learned, not for the sound.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers" (2023), section 3.2.2: the self-distilled tokenizer of
the second and later iterations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity
from torch.nn.utils.rnn import pad_sequence

from tokenizers_vq.audio.acoustic import AcousticTokenizer
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.frozen import Frozen
from tokenizers_vq.health import per_codebook
from tokenizers_vq.layers.band_transformer import BandTransformer
from tokenizers_vq.layers.transformer import tanh_bottleneck
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_PREVIEWED = 4


class AcousticTeacher(nn.Module, ABC):
    """Clips at 16 kHz -> features of their patches; any module that does this may teach."""

    @abstractmethod
    def forward(self, clips: Sequence[Tensor]) -> list[Tensor]:
        """Features (t, f, D) of each clip (T,), one vector a token of the pupil; they need no gradient."""


class DistilledAcoustic(AcousticTokenizer, TrainableTokenizer):
    """Clips at 16 kHz, list of (T,) float in [-1, 1] -> codes, list of (t, f, Q), that predict a teacher's features.

    The paper's: width 768, depth 12, `CosineVQ(1024, 256)`, an estimator of 3 blocks, and as teacher the masked model
    of the iteration before, or one fine-tuned. `features` gives what the estimator makes of codes.

    Args:
        quantizer: of latents of width `quantizer.dim`.
        teacher: an AcousticTeacher, or any module like it; None where the tokenizer is only used. Folders leave it out.
        teacher_dim: width of its features.
        patches: the front end; BEATs' where not given.
        width: of the transformers.
        depth: blocks of the encoder.
        estimator_depth: blocks that predict the features from the codes' vectors.
        num_heads: attention heads.
        position_kernel, position_groups: of the convolutional positions.

    Raises:
        ValueError: sizes that do not fit together; in training, no teacher or features of another shape.
    """

    training_only: ClassVar[tuple[str, ...]] = ("teacher",)

    def __init__(
        self,
        quantizer: Quantizer,
        teacher: nn.Module | None = None,
        teacher_dim: int = 768,
        patches: FbankPatches | None = None,
        width: int = 768,
        depth: int = 12,
        estimator_depth: int = 3,
        num_heads: int = 12,
        position_kernel: int = 128,
        position_groups: int = 16,
    ) -> None:
        super().__init__(quantizer, FbankPatches() if patches is None else patches)
        bands, patch = self.patches.num_bands // self.patches.patch_size, self.patches.patch_size
        shape = (num_heads, position_kernel, position_groups)
        self.teacher_dim = teacher_dim
        self.teacher = None if teacher is None else Frozen(teacher)
        self.from_patch = nn.Linear(patch**2, width)
        self.encoder = BandTransformer(bands, width, depth, *shape)
        self.to_code = tanh_bottleneck(width, quantizer.dim)
        self.from_code = nn.Linear(quantizer.dim, width)
        self.estimator = BandTransformer(bands, width, estimator_depth, *shape)
        self.to_features = nn.Linear(width, teacher_dim)

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (t, f, Q) int64."""
        clips = self.patches.clip_patches(media, lengths)
        codes_BTFQ = self.quantizer.encode(self._latents(*_padded(clips)))
        return [codes[: len(clip)] for codes, clip in zip(codes_BTFQ, clips)]

    @torch.no_grad()
    def features(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Predicted features, list of (t, f, teacher_dim), of codes, list of (t, f, Q).

        Raises:
            ValueError: codes that do not fit the spec.
        """
        for sample in codes:
            self.spec.check_codes(sample, "acoustic codes")
        device = self.from_patch.weight.device
        codes_BTFQ, is_valid_BT = _padded([sample.to(device) for sample in codes])
        features_BTFD = self._predicted(self.quantizer.decode(codes_BTFQ), is_valid_BT)
        return [features[: len(sample)] for features, sample in zip(features_BTFD, codes)]

    def forward(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target (B, T, F, teacher_dim), the loss is 1 - cosine, on average."""
        patches_BTFP, is_valid_BT = _padded(self.patches.clip_patches(media, lengths))
        target_BTFD = self._taught(media, lengths, patches_BTFP.shape[2], is_valid_BT)
        is_valid_BTF = is_valid_BT[..., None].expand(patches_BTFP.shape[:3])
        out = self.quantizer(self._latents(patches_BTFP, is_valid_BT), is_valid_BTF)
        predicted_BTFD = self._predicted(out.latents, is_valid_BT)
        distance_BTF = 1 - cosine_similarity(predicted_BTFD, target_BTFD, dim=-1)
        distance = (distance_BTF * is_valid_BTF).sum() / is_valid_BTF.sum()
        return TokenizerOutput(
            loss=distance + out.loss,
            reconstruction=predicted_BTFD,
            codes=out.codes[is_valid_BTF],
            parts={"reconstruction": distance, "quantizer": out.loss},
            metrics=per_codebook(out.metrics),
            target=target_BTFD,
        )

    @torch.no_grad()
    def preview(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Preview:
        """One picture: filter banks above maps of their codes, alike in grey where alike in predicted features."""
        shown = media[:_PREVIEWED], None if lengths is None else lengths[:_PREVIEWED]
        patch = self.patches.patch_size
        banks = [
            rearrange(clip, "t f (p q) -> (f q) (t p)", p=patch).flip(0)
            for clip in self.patches.clip_patches(*shown)
        ]
        greys = [
            grey.t().flip(0).repeat_interleave(patch, 0).repeat_interleave(patch, 1)
            for grey in _greys(self.features(self.encode(*shown)))
        ]
        rows = [torch.cat(banks, dim=1).cpu() / 4 + 0.5, torch.cat(greys, dim=1).cpu()]
        return Preview({"codes": torch.cat(rows).clamp(0, 1)[None]})

    def _latents(self, patches_BTFP: Tensor, is_valid_BT: Tensor) -> Tensor:
        return self.to_code(self.encoder(self.from_patch(patches_BTFP), is_valid_BT))

    def _predicted(self, latents_BTFD: Tensor, is_valid_BT: Tensor) -> Tensor:
        return self.to_features(self.estimator(self.from_code(latents_BTFD), is_valid_BT))

    def _taught(
        self,
        media: Tensor | Sequence[Tensor],
        lengths: Tensor | None,
        num_bands: int,
        is_valid_BT: Tensor,
    ) -> Tensor:
        if self.teacher is None:
            raise ValueError(
                "DistilledAcoustic has no teacher, expected one for training; give teacher=..., an AcousticTeacher"
            )
        clips = list(media) if lengths is None else [row[:size] for row, size in zip(media, lengths.tolist())]
        with torch.no_grad():
            taught: list[Tensor] = self.teacher(clips)
        expected = [(steps, num_bands, self.teacher_dim) for steps in is_valid_BT.sum(dim=1).tolist()]
        said = [tuple(features.shape) for features in taught]
        if said != expected:
            raise ValueError(
                f"the teacher's features have shapes {said}, expected {expected}: one vector a patch, and its width as "
                "teacher_dim"
            )
        return _padded(taught)[0].to(is_valid_BT.device)


def _padded(clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """(B, T, F, C) of clips (t, f, C), and is_valid (B, T) bool."""
    sizes_B = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
    padded_BTFC = pad_sequence(list(clips), batch_first=True)
    step = torch.arange(padded_BTFC.shape[1], device=sizes_B.device)
    return padded_BTFC, step < sizes_B[:, None]


def _greys(features: list[Tensor]) -> list[Tensor]:
    """(t, f) in [0, 1] of features (t, f, D): the direction in which they differ most."""
    flat_ND = torch.cat([one.flatten(0, 1) for one in features]).float()
    flat_ND = flat_ND - flat_ND.mean(dim=0)
    _, _, directions = torch.linalg.svd(flat_ND, full_matrices=False)
    shade_N = flat_ND @ directions[0]
    low, high = shade_N.aminmax()
    shade_N = (shade_N - low) / (high - low).clamp(min=1e-6)
    parts = shade_N.split([one.shape[0] * one.shape[1] for one in features])
    return [part.view(one.shape[:2]) for part, one in zip(parts, features)]
