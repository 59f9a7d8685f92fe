"""What video tokenizers share: checks, unequal lengths, the training forward, previews, long films in pieces."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import TokenSpec
from tokenizers_vq.health import per_codebook
from tokenizers_vq.layers.past import Past
from tokenizers_vq.quantizers import Quantizer
from tokenizers_vq.trainable import Preview, TokenizerOutput, TrainableTokenizer
from tokenizers_vq.video.frames import FrameGrid, pad_videos
from tokenizers_vq.video.pieces import code_pieces, frame_pieces
from tokenizers_vq.vision.base import as_pair
from tokenizers_vq.vision.pixel_loss import PixelLoss

_PREVIEWED = 4


class VideoTokenizer(TrainableTokenizer):
    """Videos, list of (T, C, H, W) float in [0, 1] <-> codes, list of (n, Y, X, Q), n = 1 + ceil((T - 1) / stride).

    The first frame has tokens of its own, so that an image is a video of one frame; each further token stands for
    `temporal_stride` frames. Where T is no 1 + k temporal_stride, the last frame is held to the end of the last token:
    a decoded video then has up to temporal_stride - 1 more frames, unless `decode` is told the lengths.

    `encode` also takes padded videos (B, T, C, H, W) with lengths (B,). Subclasses say how videos in [-1, 1] become
    latents and quantized latents videos. Both ways must be causal: nothing depends on a later frame or token. So
    what fills up a batch changes no video of it, and films of any length pass in pieces.

    Args:
        quantizer: of the latents.
        image_size: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        patch_size: pixels a token along height and width.
        temporal_stride: frames a token, but for the first.
        max_length: tokens along time of the longest video.
        rate: frames a second of all videos.
        loss: of pixels; L1 + L2 where not given.

    Raises:
        ValueError: a wrong number of channels, sizes that do not fit together.
    """

    media: ClassVar[str] = "video"

    def __init__(
        self,
        quantizer: Quantizer,
        image_size: int | Sequence[int],
        channels: int,
        patch_size: int,
        temporal_stride: int,
        max_length: int,
        rate: float,
        loss: PixelLoss | None = None,
    ) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ValueError(f"channels={channels}: expected 1 (grey) or 3 (RGB)")
        if min(patch_size, temporal_stride) < 1:
            raise ValueError(
                f"patch_size={patch_size}, temporal_stride={temporal_stride}: expected 1 or more"
            )
        height, width = size = as_pair(image_size)
        if height % patch_size or width % patch_size:
            raise ValueError(
                f"image_size={image_size} must be a multiple of {patch_size}, the pixels of a token"
            )
        self.quantizer = quantizer
        self.grid = FrameGrid(size, channels, temporal_stride, max_length)
        self.loss = loss or PixelLoss()
        self._spec = TokenSpec(
            quantizer.codebook_size,
            quantizer.num_codebooks,
            axes=("t", "y", "x"),
            grid=(None, height // patch_size, width // patch_size),
            max_length=max_length,
            stride=(temporal_stride, patch_size, patch_size),
            rate=rate,
            first_stride=1,
        )

    @property
    def spec(self) -> TokenSpec:
        """Codes on a ("t", "y", "x") grid of varying length."""
        return self._spec

    @abstractmethod
    def latents(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        """(B, n, Y, X, D) of videos in [-1, 1].

        Args:
            x_BCTHW: 1 + (n - 1) temporal_stride frames; n temporal_stride where `past` has begun.
            past: memory of the frames before these; None where the videos are whole.
        """

    @abstractmethod
    def videos(self, latents: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T, H, W), about in [-1, 1], of quantized latents (B, n, Y, X, D); T and `past` as in `latents`."""

    def code_vectors(self) -> Tensor | None:
        """(Q, codebook_size, D) vectors of the quantizer."""
        return self.quantizer.code_vectors()

    @torch.no_grad()
    def encode(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> list[Tensor]:
        """Codes, list of (n, Y, X, Q) int64, of a list of (T, C, H, W), or of (B, T, C, H, W) with lengths (B,)."""
        x_BCTHW, size_B = pad_videos(media, lengths, self.grid)
        codes = self.quantizer.encode(self.latents(x_BCTHW))
        return [one[:count] for one, count in zip(codes, self.grid.num_tokens(size_B).tolist())]

    @torch.no_grad()
    def decode(
        self, codes: Tensor | Sequence[Tensor], lengths: Tensor | Sequence[int] | None = None
    ) -> list[Tensor]:
        """Videos, list of (T, C, H, W) float32 in [0, 1], of codes, list of (n, Y, X, Q) or (B, n, Y, X, Q).

        Args:
            codes: of 1 + (n - 1) temporal_stride frames each.
            lengths: frames of each video; all that its tokens stand for where not given.

        Raises:
            ValueError: codes that do not fit the spec, lengths that do not fit the codes.
        """
        batch = varying_codes(codes, self.spec, "video codes")
        frames = self._lengths([self.grid.num_frames(len(sample)) for sample in batch], lengths)
        device = next(self.parameters()).device
        padded = nn.utils.rnn.pad_sequence([sample.to(device) for sample in batch], batch_first=True)
        y_BCTHW = self.videos(self.quantizer.decode(padded))
        return [self._pixels(y_CTHW[:, :count]) for y_CTHW, count in zip(y_BCTHW, frames)]

    @torch.no_grad()
    def encode_chunks(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Codes of a film that comes in pieces; together they are what `encode` gives of it whole.

        Memory is bounded by the longest piece, not by the film, which may be longer than `max_length`. At the end the
        last frame is held to the end of the last token.

        Args:
            pieces: (T, C, H, W) float in [0, 1] each, in order, of any lengths; `film.split(32)` of a tensor.

        Yields:
            (n, Y, X, Q) int64, n >= 1, as soon as their frames are there.

        Raises:
            ValueError: as `encode`, when it comes to the piece; no pieces at all.
        """
        past = Past()
        for x_BCTHW in frame_pieces(pieces, self.grid):
            x_BCTHW = x_BCTHW.to(next(self.parameters()).device)
            yield self.quantizer.encode(self.latents(x_BCTHW, past))[0]
            past.move_on()

    @torch.no_grad()
    def decode_chunks(self, pieces: Iterable[Tensor], length: int | None = None) -> Iterator[Tensor]:
        """Frames of a film whose codes come in pieces, as from `encode_chunks`; together they are what `decode` gives.

        Args:
            pieces: codes (n, Y, X, Q) each, in order, of any lengths up to max_length.
            length: frames of the film, after which no more come; all that the tokens stand for where not given.

        Yields:
            (T, C, H, W) float32 in [0, 1]: 1 + (n - 1) temporal_stride frames, and n temporal_stride of later pieces.

        Raises:
            ValueError: as `decode`, when it comes to the piece; no pieces at all, or fewer frames than `length`.
        """
        past, done = Past(), 0
        for codes in code_pieces(pieces, self.spec):
            codes = codes.to(next(self.parameters()).device)
            frames = self._pixels(self.videos(self.quantizer.decode(codes[None]), past)[0])
            frames = frames if length is None else frames[: length - done]
            if len(frames) == 0:
                return
            yield frames
            done += len(frames)
            past.move_on()
        if length is not None and done < length:
            raise ValueError(f"the codes stand for {done} frames, expected at least length={length}")

    def forward(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> TokenizerOutput:
        """Training forward; reconstruction and target (B, C, T, H, W) in about [-1, 1], zero after the last token."""
        x_BCTHW, size_B = pad_videos(media, lengths, self.grid)
        count_B = self.grid.num_tokens(size_B)
        latents = self.latents(x_BCTHW)
        is_token = (torch.arange(latents.shape[1], device=count_B.device) < count_B[:, None])[..., None, None]
        is_valid = is_token.expand(latents.shape[:-1])
        out = self.quantizer(latents, is_valid)
        y_BCTHW = self.videos(out.latents)
        # What fills up the last token is decoded too, so it counts; what follows does not.
        frame_T = torch.arange(x_BCTHW.shape[2], device=count_B.device)
        is_frame_BT = frame_T < 1 + (count_B[:, None] - 1) * self.grid.stride
        weight = is_frame_BT[:, None, :, None, None].to(x_BCTHW.dtype)
        reconstruction, target = y_BCTHW * weight, x_BCTHW * weight
        # A mean over all frames, to which those that do not count add nothing.
        error = self.loss(reconstruction, target) / weight.mean()
        parts = {"reconstruction": error, "quantizer": out.loss}
        return TokenizerOutput(
            loss=torch.stack(list(parts.values())).sum(),
            reconstruction=reconstruction,
            codes=out.codes[is_valid],
            parts=parts,
            metrics=per_codebook(out.metrics),
            target=target,
        )

    @torch.no_grad()
    def preview(self, media: Tensor | Sequence[Tensor], lengths: Tensor | None = None) -> Preview:
        """The first videos, originals above reconstructions: an animation, and its middle frame."""
        shown = slice(0, _PREVIEWED)
        lengths = None if lengths is None else lengths[shown]
        x_BCTHW, size_B = pad_videos(media[shown], lengths, self.grid)
        decoded = self.decode(self.encode(media[shown], lengths), size_B)
        num_frames = int(size_B.min())
        columns = [
            torch.cat([self._pixels(x_CTHW)[:num_frames], video[:num_frames]], dim=2)
            for x_CTHW, video in zip(x_BCTHW, decoded)
        ]
        frames = torch.cat(columns, dim=3)
        rate: Any = self.spec.rate
        return Preview(
            {"frame": frames[num_frames // 2]}, animations={"video": frames}, frames_per_second=rate
        )

    def _pixels(self, y_CTHW: Tensor) -> Tensor:
        """(T, C, H, W) in [0, 1]."""
        return (y_CTHW.float().transpose(0, 1) / 2 + 0.5).clamp(0, 1)

    def _lengths(self, most: list[int], lengths: Tensor | Sequence[int] | None) -> list[int]:
        if lengths is None:
            return most
        wanted = [int(length) for length in lengths]
        fewest = [max(1, count - self.grid.stride + 1) for count in most]
        if len(wanted) != len(most) or not all(a <= b <= c for a, b, c in zip(fewest, wanted, most)):
            raise ValueError(
                f"lengths {wanted} of codes of {fewest} to {most} frames; expected a number in these a video"
            )
        return wanted
