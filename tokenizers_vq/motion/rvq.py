"""Motion to residual codes by convolutions over poses.

After Guo et al., "MoMask: Generative Masked Modeling of 3D Human Motions" (2024): a 1-D convolutional network on pose
features, four poses a token, residual quantization with quantizer dropout. Losses on the joints' places are added, as
the features' own errors say little about the end of a chain of joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import Key, TokenSpec
from tokenizers_vq.layers.sequence import SequenceDecoder, SequenceEncoder
from tokenizers_vq.motion.drawing import draw_joints
from tokenizers_vq.motion.features import MotionFeatures
from tokenizers_vq.motion.normaliser import Normaliser
from tokenizers_vq.motion.patches import PrincipalPatches
from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.quantizers.beam import beam_codes
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_POSES = 4  # a token
_ROWS_A_CODE = 8  # that k-means starts from
_PREVIEWED = 4


class MotionRVQ(TrainableTokenizer):
    """Motions of T poses <-> codes, list of (ceil(T / 4), Q).

    `encode` takes what the features take: a list of Motion, or padded poses (B, T, 3 + 4 J) with lengths (B,), for
    PoseFeatures. A decoded motion has 4 poses for each token, up to 3 more than the one that was encoded (the last
    pose held), and starts over the origin. The normalisation is learned from the first training batch.

    Args:
        features: what a motion is, and how its poses become numbers.
        max_length: longest motion, in tokens.
        width: channels of the convolutions.
        num_blocks: residual blocks of encoder and of decoder.
        codebook_size: codes in each codebook.
        code_dim: width of the vectors that are quantized.
        num_codebooks: residual levels.
        joints_weight: of the loss on joints, where decoding puts them; a metre counts this much.
        world_weight: of the loss on joints in the world, from the first pose on, by path and heading.
        velocity_weight: of the loss on the joints' velocities; a metre a second counts this much.
        decay, commitment, revive_below, quantizer_dropout, shares_codebook, seed: of the quantizer, see ResidualVQ.
        beam: codings that `encode` keeps at each level, of which the best whole one wins; training and validation
            losses take the nearest code of each level.

    Raises:
        ValueError: sizes below 1, or arguments that ResidualVQ refuses.
    """

    media: ClassVar[str] = "motion"

    def __init__(
        self,
        features: MotionFeatures,
        max_length: int = 64,
        width: int = 256,
        num_blocks: int = 3,
        codebook_size: int = 512,
        code_dim: int = 128,
        num_codebooks: int = 6,
        joints_weight: float = 30.0,
        world_weight: float = 2.0,
        velocity_weight: float = 0.1,
        decay: float = 0.98,
        commitment: float = 0.25,
        revive_below: float = 0.1,
        quantizer_dropout: float = 0.2,
        shares_codebook: bool = False,
        seed: int = 0,
        beam: int = 1,
    ) -> None:
        super().__init__()
        if min(width, num_blocks, beam) < 1:
            raise ValueError(f"width={width}, num_blocks={num_blocks} and beam={beam} must be at least 1")
        self._beam = beam
        self._spec = TokenSpec(
            codebook_size,
            num_codebooks,
            axes=("t",),
            max_length=max_length,
            stride=(_POSES,),
            rate=features.rate,
        )
        self.features = features
        self.weights = {"joints": joints_weight, "world": world_weight, "velocity": velocity_weight}
        groups = features.groups
        weights = [features.weights.get(name, 1.0) for name in groups]
        self.normaliser = Normaliser(features.width, groups.values(), weights)
        self.patches = PrincipalPatches(features.width, _POSES, code_dim)
        self.encoder = SequenceEncoder(features.width, width, code_dim, num_blocks, _POSES)
        self.quantizer = ResidualVQ(
            num_codebooks,
            codebook_size,
            code_dim,
            decay=decay,
            commitment=commitment,
            revive_below=revive_below,
            quantizer_dropout=quantizer_dropout,
            seed=seed,
            shares_codebook=shares_codebook,
        )
        self.decoder = SequenceDecoder(code_dim, width, features.width, num_blocks, _POSES)
        # At the start the linear maps alone speak.
        nn.init.zeros_(self.encoder.head[1].get_parameter("weight"))
        nn.init.zeros_(self.decoder.head.get_parameter("weight"))
        self._key = Key(seed).fold("motion rvq")

    @property
    def spec(self) -> TokenSpec:
        """Codes along "t", of varying length."""
        return self._spec

    def last_layer(self) -> nn.Parameter:
        """The convolution that makes the features."""
        return self.decoder.head.get_parameter("weight")

    @torch.no_grad()
    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, code_dim) vectors of the quantizer."""
        return self.quantizer.code_vectors()

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Any], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, Q) int64, of motions."""
        features_BTF, num_tokens_B, _ = self._features(media, lengths)
        latents_BND = self._latents(self.normaliser(features_BTF), num_tokens_B)
        codes_BNQ = beam_codes(latents_BND.flatten(0, 1), self.quantizer.code_vectors(), self._beam)
        codes_BNQ = codes_BNQ.unflatten(0, latents_BND.shape[:2])
        return [codes[:count] for codes, count in zip(codes_BNQ, num_tokens_B.tolist())]

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[Any]:
        """Motions of 4 n poses of codes, list of (n, Q) or (B, n, Q)."""
        return [
            self.features.media(x)
            for x in self._decode_features(varying_codes(codes, self.spec, "motion codes"))
        ]

    @torch.no_grad()
    def decode_levels(self, codes: Sequence[Tensor] | Tensor, num_levels: int) -> list[Any]:
        """As `decode`, by the first levels alone.

        Raises:
            ValueError: as `decode`, or a number of levels out of range.
        """
        if not 1 <= num_levels <= self.spec.num_codebooks:
            raise ValueError(f"num_levels={num_levels}, expected 1 to {self.spec.num_codebooks}")
        batch = [c[:, :num_levels] for c in varying_codes(codes, self.spec, "motion codes")]
        return [self.features.media(x) for x in self._decode_features(batch)]

    def forward(self, media: Tensor | Sequence[Any], lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target are normalised features (B, width, T).

        Parts: "reconstruction" (smooth L1 of the features), "joints" (mean distance, metres, by rotations and ahead),
        "world" (the same in the world, from the first pose on), "velocity" (mean, metres a second), "commitment".
        """
        features_BTF, num_tokens_B, sizes_B = self._features(media, lengths)
        is_real_BT = _is_before(sizes_B, features_BTF.shape[1])
        is_valid_BN = _is_before(num_tokens_B, features_BTF.shape[1] // _POSES)
        if self.training:
            self.normaliser.fit_once(features_BTF, is_real_BT)
        x_BTF = self.normaliser(features_BTF)
        if self.training and self.patches.fit_once(x_BTF, is_valid_BN):
            self._start_codebooks(x_BTF, is_valid_BN)
        out = self.quantizer(self._latents(x_BTF, num_tokens_B), is_valid_BN)
        y_BTF = self._rows(out.latents, is_valid_BN)
        # Filler up to the end of the last token is decoded too, so it counts; what follows does not.
        counts_BT = _is_before(_POSES * num_tokens_B, x_BTF.shape[1]).float()
        smooth_BT = nn.functional.smooth_l1_loss(y_BTF, x_BTF, reduction="none").mean(dim=-1)
        parts = {"reconstruction": _mean(smooth_BT, counts_BT)}
        parts |= self._joint_losses(self.normaliser.inverse(y_BTF), features_BTF, counts_BT)
        loss = parts["reconstruction"] + out.loss
        loss = loss + sum(weight * parts[name] for name, weight in self.weights.items())
        return TokenizerOutput(
            loss=loss,
            reconstruction=y_BTF.transpose(1, 2),
            codes=out.codes[is_valid_BN],
            parts=parts | {"commitment": out.loss},
            metrics=out.metrics,
            target=x_BTF.transpose(1, 2),
        )

    @torch.no_grad()
    def preview(self, media: Tensor | Sequence[Any], lengths: Tensor | None = None) -> Preview:
        """Stick figures of the first motions, originals above reconstructions: an animation, and its middle pose."""
        shown = slice(0, _PREVIEWED)
        lengths = None if lengths is None else lengths[shown]
        features_BTF, num_tokens_B, _ = self._features(media[shown], lengths)
        decoded = self._decode_features(self.encode(media[shown], lengths))
        num_poses = _POSES * int(num_tokens_B.min())
        columns = [
            torch.cat(
                [
                    draw_joints(self.features.local_joints(x[None, :num_poses])[0], self.features.parents)
                    for x in (original, other)
                ],
                dim=2,
            )
            for original, other in zip(features_BTF, decoded)
        ]
        frames = torch.cat(columns, dim=3)
        return Preview(
            {"pose": frames[num_poses // 2]},
            animations={"motion": frames},
            frames_per_second=self.features.rate,
        )

    def _features(
        self, media: Tensor | Sequence[Any], lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, 4 n, width), tokens (B,) and real poses (B,) of each motion."""
        longest = _POSES * self.spec.max_tokens
        features_BTF, sizes_B = self.features.of_media(media, lengths, _POSES, longest, _POSES)
        return features_BTF, -(-sizes_B // _POSES), sizes_B

    def _latents(self, x_BTF: Tensor, num_tokens_B: Tensor) -> Tensor:
        """(B, n, code_dim) of normalised features: channels last, as quantizers want them."""
        weight_B1T = _is_before(_POSES * num_tokens_B, x_BTF.shape[1])[:, None].float()
        return self.patches.encode(x_BTF) + self.encoder(x_BTF.transpose(1, 2), weight_B1T).transpose(1, 2)

    def _rows(self, latents_BND: Tensor, is_valid_BN: Tensor) -> Tensor:
        """Normalised features (B, 4 n, width)."""
        y_BFT = self.decoder(latents_BND.transpose(1, 2), is_valid_BN[:, None].float())
        return self.patches.decode(latents_BND) + y_BFT.transpose(1, 2)

    @torch.no_grad()
    def _start_codebooks(self, x_BTF: Tensor, is_valid_BN: Tensor) -> None:
        """Codebooks from the first training batch, as the linear maps that were just fitted place it."""
        # A batch has hardly more tokens than a codebook has codes: k-means would put one code on each and leave the
        # later levels nothing but zeros to start from. Mixtures of two tokens are as many as it takes.
        rows_ND = self.patches.encode(x_BTF)[is_valid_BN]
        draw = self._key.uniform(
            torch.arange(_ROWS_A_CODE * self.spec.codebook_size)[:, None], torch.arange(3)
        )
        one, other, share = draw.to(rows_ND).unbind(dim=1)
        pick = [(index * len(rows_ND)).long().clamp(max=len(rows_ND) - 1) for index in (one, other)]
        self.quantizer(torch.lerp(rows_ND[pick[0]], rows_ND[pick[1]], share[:, None])[:, None])

    def _decode_features(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Features (4 n, width) of each motion."""
        device = self.quantizer.num_updates.device
        sizes_B = torch.tensor([len(c) for c in codes], device=device)
        padded_BNQ = nn.utils.rnn.pad_sequence([c.to(device) for c in codes], batch_first=True)
        is_valid_BN = _is_before(sizes_B, padded_BNQ.shape[1])
        features_BTF = self.normaliser.inverse(self._rows(self.quantizer.decode(padded_BNQ), is_valid_BN))
        return [x[: _POSES * len(c)] for x, c in zip(features_BTF, codes)]

    def _joint_losses(self, y_BTF: Tensor, x_BTF: Tensor, counts_BT: Tensor) -> dict[str, Tensor]:
        """Distances of the joints, ahead and in the world, and of their velocities, all by what `decode` returns."""
        local_BTJ3 = self.features.local_joints(y_BTF)
        gap_BTJ3 = local_BTJ3 - self.features.kept_joints(x_BTF)
        world_BTJ3 = self.features.in_world(local_BTJ3, y_BTF) - self.features.joints(x_BTF)
        change_BTJ3 = (gap_BTJ3[:, 1:] - gap_BTJ3[:, :-1]) * self.features.rate
        return {
            "joints": _mean(_length(gap_BTJ3).mean(dim=-1), counts_BT),
            "world": _mean(_length(world_BTJ3).mean(dim=-1), counts_BT),
            "velocity": _mean(_length(change_BTJ3).mean(dim=-1), counts_BT[:, 1:]),
        }


def _is_before(sizes_B: Tensor, num_positions: int) -> Tensor:
    """(B, num_positions) bool."""
    return torch.arange(num_positions, device=sizes_B.device) < sizes_B[:, None]


def _length(x: Tensor) -> Tensor:
    """Of the vectors in the last axis, with a gradient at zero."""
    return (x.square().sum(dim=-1) + 1e-12).sqrt()


def _mean(value_BT: Tensor, weight_BT: Tensor) -> Tensor:
    return (value_BT * weight_BT).sum() / weight_BT.sum()
