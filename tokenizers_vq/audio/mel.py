"""Speech to residual codes through a log-mel spectrogram, and back by Griffin-Lim.

A small spectral codec: residual vector quantization as in SoundStream (Zeghidour et al., 2021) on mel frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from tokenizers_vq.audio.spectrogram import LogMel
from tokenizers_vq.audio.waveforms import pad_waveforms
from tokenizers_vq.checks import residual_codes
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.layers.sequence import SequenceDecoder, SequenceEncoder
from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_RATE = 16_000
_HOP = 160
_FRAMES = 4  # spectrogram frames a token
_STRIDE = _HOP * _FRAMES
_NUM_MELS = 80
_PREVIEWED = 4


class MelVQ(TrainableTokenizer):
    """16 kHz mono clips, list of (T,) float in [-1, 1] <-> codes, list of (ceil(T / 640), Q); 25 tokens a second.

    A decoded clip has 640 samples for each token: up to 639 more than the clip that was encoded.

    Args:
        max_length: longest clip, in tokens of 40 ms.
        width: channels of the convolutions.
        num_blocks: residual blocks at each rate.
        codebook_size: codes in each codebook.
        code_dim: width of the vectors that are quantized.
        num_codebooks: residual levels.
        griffin_lim_steps: iterations that find the phase when decoding.
        decay, commitment, revive_below, quantizer_dropout, seed: of the quantizer, see ResidualVQ.

    Raises:
        ValueError: sizes below 1.
    """

    media: ClassVar[str] = "audio"

    def __init__(
        self,
        max_length: int = 32,
        width: int = 128,
        num_blocks: int = 1,
        codebook_size: int = 256,
        code_dim: int = 32,
        num_codebooks: int = 4,
        griffin_lim_steps: int = 32,
        decay: float = 0.97,
        commitment: float = 0.25,
        revive_below: float = 0.1,
        quantizer_dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(width, num_blocks, griffin_lim_steps) < 1:
            raise ValueError(
                f"width={width}, num_blocks={num_blocks}, griffin_lim_steps={griffin_lim_steps} must be at least 1"
            )
        self._config: dict[str, Any] = {
            "max_length": max_length,
            "width": width,
            "num_blocks": num_blocks,
            "codebook_size": codebook_size,
            "code_dim": code_dim,
            "num_codebooks": num_codebooks,
            "griffin_lim_steps": griffin_lim_steps,
            "decay": decay,
            "commitment": commitment,
            "revive_below": revive_below,
            "quantizer_dropout": quantizer_dropout,
            "seed": seed,
        }
        self._spec = TokenSpec(
            codebook_size, num_codebooks, axes=("t",), max_length=max_length, stride=(_STRIDE,), rate=_RATE
        )
        self.spectrogram = LogMel(_RATE, _HOP, num_mels=_NUM_MELS, griffin_lim_steps=griffin_lim_steps)
        self.encoder = SequenceEncoder(_NUM_MELS, width, code_dim, num_blocks, _FRAMES)
        self.quantizer = ResidualVQ(
            num_codebooks,
            codebook_size,
            code_dim,
            decay=decay,
            commitment=commitment,
            revive_below=revive_below,
            quantizer_dropout=quantizer_dropout,
            seed=seed,
        )
        self.decoder = SequenceDecoder(code_dim, width, _NUM_MELS, num_blocks, _FRAMES)

    @property
    def spec(self) -> TokenSpec:
        """Codes along "t", of varying length."""
        return self._spec

    def config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return dict(self._config)

    def code_vectors(self) -> Tensor:
        """(Q, codebook_size, code_dim) vectors of the quantizer."""
        return self.quantizer.code_vectors()

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, Q) int64, of clips: a list of (T,) float, or (B, T) padded with lengths (B,)."""
        mel_BMT, num_tokens_B = self._mel(media, lengths)
        codes_BNQ = self.quantizer.encode(self._latents(mel_BMT, _weights(num_tokens_B, mel_BMT.shape[-1])))
        return [codes[:count] for codes, count in zip(codes_BNQ, num_tokens_B.tolist())]

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[Tensor]:
        """Clips, list of (640 n,) float32 in [-1, 1], of codes, list of (n, q) or (B, n, q): the first q codebooks.

        Raises:
            ValueError: codes that do not fit the spec, no codebook or more than Q.
        """
        batch = residual_codes(codes, self.spec, "audio codes")
        mels = self._decode_mel(batch)
        sounds: dict[int, Tensor] = {}
        # Clips of one length share a Griffin-Lim; padding would change the sound of the shorter ones.
        for frames in sorted({mel.shape[-1] for mel in mels}):
            rows = [i for i, mel in enumerate(mels) if mel.shape[-1] == frames]
            sounds |= dict(zip(rows, self.spectrogram.invert(torch.stack([mels[i] for i in rows]))))
        return [sounds[i] for i in range(len(mels))]

    def forward(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; the reconstruction (B, 80, frames) is a log-mel in about [-1, 1], loss L1 + L2 there."""
        mel_BMT, num_tokens_B = self._mel(media, lengths)
        weight_B1T = _weights(num_tokens_B, mel_BMT.shape[-1])
        is_valid_BN = weight_B1T[:, 0, ::_FRAMES] > 0
        out = self.quantizer(self._latents(mel_BMT, weight_B1T), is_valid_BN)
        y_BMT = self.decoder(out.latents.transpose(1, 2), weight_B1T[..., ::_FRAMES])
        error_BMT = (y_BMT - mel_BMT) * weight_B1T
        count = weight_B1T.sum() * _NUM_MELS
        reconstruction = (error_BMT.abs().sum() + error_BMT.square().sum()) / count
        return TokenizerOutput(
            loss=reconstruction + out.loss,
            reconstruction=y_BMT,
            codes=out.codes[is_valid_BN],
            parts={"reconstruction": reconstruction, "commitment": out.loss},
            metrics=out.metrics,
        )

    @torch.no_grad()
    def preview(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Preview:
        """Spectrograms of the first clips, originals above reconstructions, and the sound of the first one."""
        shown = slice(0, _PREVIEWED)
        mel_BMT, num_tokens_B = self._mel(media[shown], None if lengths is None else lengths[shown])
        codes = self.encode(media[shown], None if lengths is None else lengths[shown])
        originals = [mel[:, : _FRAMES * count] for mel, count in zip(mel_BMT, num_tokens_B.tolist())]
        rows = [torch.cat(mels, dim=1).flip(0) for mels in (originals, self._decode_mel(codes))]
        picture = (torch.cat(rows) / 4 + 0.5).clamp(0, 1)[None]
        return Preview({"spectrogram": picture}, {"reconstruction": self.decode(codes[:1])[0]}, _RATE)

    def _mel(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-mel (B, 80, frames) and tokens (B,) of each clip; the last token is filled up with silence."""
        waveforms_BT, sizes_B = pad_waveforms(media, lengths, _STRIDE, self._config["max_length"] * _STRIDE)
        fill = -waveforms_BT.shape[1] % _STRIDE
        mel_BMT = self.spectrogram(torch.nn.functional.pad(waveforms_BT, (0, fill)))
        return mel_BMT, -(-sizes_B // _STRIDE)

    def _latents(self, mel_BMT: Tensor, weight_B1T: Tensor) -> Tensor:
        """(B, n, code_dim): channels last, as quantizers want them."""
        return self.encoder(mel_BMT, weight_B1T).transpose(1, 2)

    def _decode_mel(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Log-mel (80, 4 n) of each clip."""
        device = self.quantizer.num_updates.device
        sizes_B = torch.tensor([c.shape[0] for c in codes], device=device)
        padded_BNQ = torch.nn.utils.rnn.pad_sequence([c.to(device) for c in codes], batch_first=True)
        weight_B1N = _weights(sizes_B, _FRAMES * padded_BNQ.shape[1])[..., ::_FRAMES]
        mel_BMT = self.decoder(self.quantizer.decode(padded_BNQ).transpose(1, 2), weight_B1N)
        return [mel[:, : _FRAMES * c.shape[0]] for mel, c in zip(mel_BMT, codes)]


def _weights(num_tokens_B: Tensor, num_frames: int) -> Tensor:
    """(B, 1, num_frames) float32: 1 at the frames of a clip, 0 at padding."""
    frame = torch.arange(num_frames, device=num_tokens_B.device)
    return (frame < _FRAMES * num_tokens_B[:, None]).float()[:, None]
