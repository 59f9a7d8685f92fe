"""Waveforms to residual codes and back by convolutions, without a spectrogram in between.

Zeghidour et al., "SoundStream" (2021); Defossez et al., "High Fidelity Neural Audio Compression" (EnCodec, 2022); Kumar
et al., "High-Fidelity Audio Compression with Improved RVQGAN" (DAC, 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokenizers_vq.audio.parts import LatentsToWaveform, WaveformPart, WaveformToLatents
from tokenizers_vq.audio.spectrogram import LogMel
from tokenizers_vq.audio.waveforms import pad_waveforms
from tokenizers_vq.checks import residual_codes
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.health import per_codebook
from tokenizers_vq.layers.seanet import SeanetConfig, WaveformDecoder, WaveformEncoder
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer

_PREVIEWED = 4
_FRAMES_PER_SECOND = 100  # of the spectrograms that a preview shows
_PREVIEW_WINDOW_S = 0.032


class WaveformCodec(TrainableTokenizer):
    """Mono clips, list of (T,) float in [-1, 1] <-> codes, list of (ceil(T / stride), Q); stride = prod(strides).

    A decoded clip has `stride` samples for each token: up to stride - 1 more than the clip that was encoded.
    Reconstruction and target are waveforms (B, 1, n stride), so that STFTDiscriminator and MultiScaleMel take them; the
    tokenizer's own loss is the mean absolute error of the samples.

    The defaults are DAC's encoder. EnCodec's at 24 kHz: strides (2, 4, 5, 8), kernel_size 3, dilations (1,), squeeze 2,
    num_recurrent 2, activation "elu", is_causal True, width 32, `ResidualVQ(32, 1024, 128)`.

    Args:
        quantizer: of latents of width `quantizer.dim`: ResidualVQ, or ResidualQuantizer with DAC's levels.
        rate: samples per second of all clips.
        max_length: longest clip, in tokens.
        strides: of the encoder; the decoder goes back from the last.
        width: channels at the waveform's rate, doubled at each stride.
        decoder_width: channels of the decoder at the tokens' rate, halved at each stride; the encoder's if None.
        kernel_size, dilations: of the residual units, one unit a dilation at each rate.
        squeeze: a unit's width is divided by it between its convolutions.
        num_recurrent: layers of an LSTM at the tokens' rate, in encoder and decoder; 0 for none.
        activation: "snake" or "elu".
        is_causal: a token depends on no later sample and a decoded sample on no later token.
        reconstruction_weight: of the tokenizer's own loss.
        encoder, decoder: others in place of the convolutions, of the quantizer's width and the strides' product
            (`audio.fourier`: cheap enough to train on a CPU); the arguments above from `width` to `is_causal` are the
            convolutions' alone.

    Raises:
        ValueError: sizes below 1, no strides, an even kernel, another activation, a decoder that cannot be halved; an
            encoder or decoder of another width or stride.
    """

    media: ClassVar[str] = "audio"

    def __init__(
        self,
        quantizer: Quantizer,
        rate: int = 16_000,
        max_length: int = 500,
        strides: Sequence[int] = (2, 4, 8, 8),
        width: int = 64,
        decoder_width: int | None = None,
        kernel_size: int = 7,
        dilations: Sequence[int] = (1, 3, 9),
        squeeze: int = 1,
        num_recurrent: int = 0,
        activation: str = "snake",
        is_causal: bool = False,
        reconstruction_weight: float = 1.0,
        encoder: WaveformToLatents | None = None,
        decoder: LatentsToWaveform | None = None,
    ) -> None:
        super().__init__()
        widest = width * 2 ** len(strides) if decoder_width is None else decoder_width
        if not strides or not dilations or min(*strides, *dilations, width, squeeze, rate, kernel_size) < 1:
            raise ValueError(
                f"strides={tuple(strides)}, dilations={tuple(dilations)}, width={width}, squeeze={squeeze}, "
                f"rate={rate}, kernel_size={kernel_size}: expected at least one stride and dilation, and numbers from 1"
            )
        if kernel_size % 2 == 0 or num_recurrent < 0:
            raise ValueError(
                f"kernel_size={kernel_size}, num_recurrent={num_recurrent}: expected an odd kernel and 0 or more layers"
            )
        if widest < 1 or widest % 2 ** len(strides):
            raise ValueError(
                f"decoder_width={widest} must be a multiple of {2 ** len(strides)}, to be halved at each stride"
            )
        config = SeanetConfig(
            tuple(strides), kernel_size, tuple(dilations), squeeze, num_recurrent, activation, is_causal
        )
        self.stride, self.reconstruction_weight = math.prod(strides), reconstruction_weight
        self._spec = TokenSpec(
            quantizer.codebook_size,
            quantizer.num_codebooks,
            axes=("t",),
            max_length=max_length,
            stride=(self.stride,),
            rate=rate,
        )
        for part in (encoder, decoder):
            _check_part(part, quantizer.dim, self.stride)
        self.encoder = WaveformEncoder(width, quantizer.dim, config) if encoder is None else encoder
        self.quantizer = quantizer
        self.decoder = WaveformDecoder(quantizer.dim, widest, config) if decoder is None else decoder

    @property
    def spec(self) -> TokenSpec:
        """Codes along "t", of varying length."""
        return self._spec

    def code_vectors(self) -> Tensor | None:
        """(Q, codebook_size, dim) vectors of the quantizer, None where it tells none."""
        return self.quantizer.code_vectors()

    def last_layer(self) -> nn.Parameter:
        """The decoder's last weight."""
        return self.decoder.last_layer()

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, Q) int64, of clips: a list of (T,) float, or (B, T) padded with lengths (B,)."""
        x_B1T, count_B = self._padded(media, lengths)
        latents_BCN = self.encoder(x_B1T, self._weights(count_B, x_B1T.shape[-1]))
        codes_BNQ = self.quantizer.encode(latents_BCN.transpose(1, 2))
        return [codes[:count] for codes, count in zip(codes_BNQ, count_B.tolist())]

    @torch.no_grad()
    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[Tensor]:
        """Clips, list of (stride n,) float32 in [-1, 1], of codes, list of (n, q) or (B, n, q).

        Where the quantizer's levels add up, q may be less than Q: the first q codebooks alone, at as many times less
        bits (`codes[..., :q]`). A quantizer dropout in training makes that sound well.

        Raises:
            ValueError: codes that do not fit the spec, no codebook or more than Q; fewer than Q where all are needed.
        """
        batch = residual_codes(codes, self.spec, "audio codes", self.quantizer.fewest_codebooks)
        device = next(self.parameters()).device
        count_B = torch.tensor([sample.shape[0] for sample in batch], device=device)
        padded_BNQ = nn.utils.rnn.pad_sequence([sample.to(device) for sample in batch], batch_first=True)
        weight_B1N = self._weights(count_B, self.stride * padded_BNQ.shape[1])[..., :: self.stride]
        y_B1T = self.decoder(self.quantizer.decode(padded_BNQ).transpose(1, 2), weight_B1N)
        sounds_BT = y_B1T[:, 0].float().clamp(-1, 1)
        return [sound[: self.stride * count] for sound, count in zip(sounds_BT, count_B.tolist())]

    def forward(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target (B, 1, n stride) are waveforms, zero after the last token."""
        x_B1T, count_B = self._padded(media, lengths)
        weight_B1T = self._weights(count_B, x_B1T.shape[-1])
        weight_B1N = weight_B1T[..., :: self.stride]
        is_valid_BN = weight_B1N[:, 0] > 0
        out = self.quantizer(self.encoder(x_B1T, weight_B1T).transpose(1, 2), is_valid_BN)
        y_B1T = self.decoder(out.latents.transpose(1, 2), weight_B1N)
        error = (y_B1T - x_B1T).abs().sum() / weight_B1T.sum()
        parts = {"reconstruction": self.reconstruction_weight * error, "quantizer": out.loss}
        return TokenizerOutput(
            loss=parts["reconstruction"] + parts["quantizer"],
            reconstruction=y_B1T,
            codes=out.codes[is_valid_BN],
            parts=parts,
            metrics=per_codebook(out.metrics),
            target=x_B1T,
        )

    @torch.no_grad()
    def preview(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Preview:
        """Log-mel spectrograms of the first clips, originals above reconstructions, and the sound of the first one."""
        shown = media[:_PREVIEWED], None if lengths is None else lengths[:_PREVIEWED]
        x_B1T, _ = self._padded(*shown)
        sounds = self.decode(self.encode(*shown))
        assert self.spec.rate is not None
        hop = max(1, round(self.spec.rate / _FRAMES_PER_SECOND))
        window = 2 ** math.ceil(math.log2(max(4, self.spec.rate * _PREVIEW_WINDOW_S)))
        spectrogram = LogMel(round(self.spec.rate), hop, window).to(x_B1T.device)
        rows = []
        for clips in ([x_T[: len(sound)] for x_T, sound in zip(x_B1T[:, 0], sounds)], sounds):
            mels = [spectrogram(nn.functional.pad(clip, (0, -len(clip) % hop))[None])[0] for clip in clips]
            rows.append(torch.cat(mels, dim=1).flip(0))
        picture = (torch.cat(rows) / 4 + 0.5).clamp(0, 1)[None]
        return Preview({"spectrogram": picture}, {"reconstruction": sounds[0]}, round(self.spec.rate))

    def _padded(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Waveforms (B, 1, n stride) and tokens (B,) of each clip; the last token is filled up with silence."""
        assert self.spec.max_length is not None
        x_BT, size_B = pad_waveforms(media, lengths, self.stride, self.spec.max_length * self.stride)
        x_BT = nn.functional.pad(x_BT, (0, -x_BT.shape[1] % self.stride))
        return x_BT[:, None], -(-size_B // self.stride)

    def _weights(self, count_B: Tensor, num_samples: int) -> Tensor:
        """(B, 1, num_samples) float32: 1 at the samples of a clip's tokens, 0 at padding."""
        sample = torch.arange(num_samples, device=count_B.device)
        return (sample < self.stride * count_B[:, None]).float()[:, None]


def _check_part(part: WaveformPart | None, dim: int, stride: int) -> None:
    if part is not None and (part.dim, part.stride) != (dim, stride):
        raise ValueError(
            f"a {type(part).__name__} of dim={part.dim} and stride={part.stride}, but the quantizer has dim={dim} and "
            f"the strides make {stride}; expected the same"
        )
