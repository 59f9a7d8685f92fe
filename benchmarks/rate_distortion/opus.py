"""Opus (RFC 6716) at a constant bit rate, counted without a container."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import resample

from benchmarks.rate_distortion.sounds import RATE

_FRAME_MS = 60  # the longest, which at the lowest rates sounds best
_DECODED_RATE = 48_000  # libopus gives what it decodes at this rate


@dataclass(frozen=True)
class Opus:
    """libopus for speech, constant bit rate, frames of 60 ms.

    Attributes:
        bits_per_second: asked for; frames have whole bytes.
    """

    bits_per_second: int

    def through(self, clip: Tensor) -> tuple[Tensor, float]:
        """What comes back of a clip (T,) float at 16 kHz, at least as long and without delay; bits a second of sound.

        The encoder looks ahead, so a frame of silence follows the clip; the bits are those of a frame over 60 ms, as
        our tokens are counted, not those of the last frame's filling.
        """
        packets, head = self._packets(clip)
        decoder = av.CodecContext.create("libopus", "r")
        assert isinstance(decoder, av.AudioCodecContext)
        decoder.sample_rate, decoder.layout, decoder.extradata = _DECODED_RATE, "mono", head
        frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
        samples = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[0]
        decoded = torch.from_numpy(samples.astype(np.float32) / 32768)
        rate = 8 * sum(packet.size for packet in packets) / (len(packets) * _FRAME_MS / 1000)
        return resample(decoded, _DECODED_RATE, RATE), rate

    def _packets(self, clip: Tensor) -> tuple[list[av.Packet], bytes]:
        """Packets, and the header that a decoder needs."""
        encoder = av.CodecContext.create("libopus", "w")
        assert isinstance(encoder, av.AudioCodecContext)
        encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
        encoder.bit_rate = self.bits_per_second
        encoder.options = {"application": "voip", "vbr": "off", "frame_duration": str(_FRAME_MS)}
        encoder.open()
        size = RATE * _FRAME_MS // 1000
        count = -(-len(clip) // size) + 1
        pcm = np.zeros((1, count * size), dtype=np.int16)
        pcm[0, : len(clip)] = (clip.clamp(-1, 1) * 32767).numpy().astype(np.int16)
        packets: list[av.Packet] = []
        for first in range(0, pcm.shape[1], size):
            frame = av.AudioFrame.from_ndarray(
                pcm[:, first : first + size].copy(), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = RATE, first
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
        return packets, bytes(encoder.extradata or b"")
