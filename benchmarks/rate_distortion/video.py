"""Video tokenizers beside tokens of single frames at equal tokens and codes a clip, and beside H.264 and H.265.

All are trained on the same clips, half of them windows of real films, half moving handwriting, each for the whole
budget, for the squared error alone; then clips of shots and handwriting that training did not see are encoded and
decoded. A tube of 5 frames in 16 makes the numbers of tokens equal: 36 for the first frame and for each tube, or 9 for
every frame. "gain_db" is the PSNR over that of the single frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from benchmarks.rate_distortion.budget import Budget, Fitted, fit
from benchmarks.rate_distortion.configs import read_config
from benchmarks.rate_distortion.quality import psnr, ssim
from benchmarks.rate_distortion.video_codecs import CODECS, VideoCodec, at_bits
from benchmarks.rate_distortion.video_data import FilmsAndDigits, FramesOfFilmsAndDigits
from tokenizers_vq.contract.described import rebuild
from tokenizers_vq.quantizers import FSQ
from tokenizers_vq.trainable import TrainableTokenizer
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.video import CausalVideoCNN, CViViT, inflate
from tokenizers_vq.vision import VQGAN, PixelLoss

Row = dict[str, Any]
SIZE, LENGTH, STRIDE = 48, 16, 5
_LEVELS = (8, 5, 5, 5)
_CLIPS = 4  # a training step
_FRAME_CLIPS = 16  # of which 4 frames each are taken
_AT_ONCE = 16  # clips decoded together
_QUICK_CLIPS = 2
_FRAMES_SHARE = 0.25


@dataclass(frozen=True)
class Case:
    """A tokenizer to train.

    Attributes:
        name: of its rows.
        make: builds it.
        lr: peak learning rate.
        precision: of the training, the quicker one here.
        is_of_frames: it takes single frames.
        start: a tokenizer of single frames that a quarter of the budget goes to and that is then inflated.
    """

    name: str
    make: Callable[[], TrainableTokenizer]
    lr: float
    precision: str = "bf16-mixed"
    is_of_frames: bool = False
    start: Case | None = None

    def data(self, seed: int) -> FilmsAndDigits:
        """Clips, or their frames."""
        kind = FramesOfFilmsAndDigits if self.is_of_frames else FilmsAndDigits
        clips = _FRAME_CLIPS if self.is_of_frames else _CLIPS
        return kind(clips, 1, SIZE, LENGTH, seed)


def frames_vqgan() -> VQGAN:
    """9 tokens of 16 x 16 pixels for each frame."""
    return VQGAN(
        FSQ(_LEVELS), SIZE, width=64, multipliers=(1, 2), num_blocks=1, stem_stride=8, loss=PixelLoss(0.0)
    )


def frames_to_inflate() -> VQGAN:
    """36 tokens of 8 x 8 pixels for each frame, by the layers of the causal CNN."""
    sizes: dict[str, Any] = {"width": 64, "multipliers": (1,), "num_blocks": 1, "stem_stride": 8}
    return VQGAN(FSQ(_LEVELS), SIZE, loss=PixelLoss(0.0), **sizes)


def causal_cnn() -> CausalVideoCNN:
    """36 tokens of 8 x 8 pixels for the first frame and for each tube of 5 frames."""
    sizes: dict[str, Any] = {"width": 64, "multipliers": (1,), "num_blocks": 1, "stem_stride": 8}
    return CausalVideoCNN(FSQ(_LEVELS), SIZE, time_strides=(STRIDE,), loss=PixelLoss(0.0), **sizes)


def cvivit() -> CViViT:
    """The same tokens; configs/tokenizer/clips_cvivit.yaml."""
    told = read_config("tokenizer/clips_cvivit.yaml")["init_args"]["tokenizer"]["init_args"]
    return CViViT(**rebuild(told))


CASES = (
    Case("single frames, VQGAN f16", frames_vqgan, lr=2e-3, is_of_frames=True),
    Case("causal CNN, 5 x 8 x 8", causal_cnn, lr=2e-3),
    Case(
        "causal CNN, 5 x 8 x 8, inflated",
        causal_cnn,
        lr=1.5e-3,
        start=Case("frames to inflate", frames_to_inflate, lr=2e-3, is_of_frames=True),
    ),
    Case("C-ViViT, 5 x 8 x 8", cvivit, lr=3e-3, precision="32-true"),
)


def rows(budget: Budget) -> Iterator[Row]:
    """For each corpus a row of each codec and tokenizer."""
    held_out = _held_out(budget)
    bits = num_tokens(CASES[0]) * math.log2(CASES[0].make().spec.codebook_size)
    for (corpus, clips), codec, shrink in product(held_out.items(), CODECS, (1, 2)):
        if budget.wants(codec.name):
            yield codec_row(codec, shrink, corpus, clips, bits)
    peer: dict[str, float] = {}
    for case in CASES:
        if budget.wants(case.name):
            yield from trained_rows(case, held_out, budget, peer)


def codec_row(codec: VideoCodec, shrink: int, corpus: str, clips: Tensor, bits: float) -> Row:
    """A codec at no fewer bits a clip, parameter sets left out, on pictures of their own size or a smaller one."""
    coded = at_bits(codec, clips, math.ceil(bits), shrink)
    name = codec.name if shrink == 1 else f"{codec.name} on 1/{shrink} size"
    spent = {"bits": round(coded.bits), "bits_with_headers": round(coded.stream_bits)}
    return _shared(corpus, name, is_ours=False) | spent | score(coded.clips, clips)


def trained_rows(
    case: Case, held_out: dict[str, Tensor], budget: Budget, peer: dict[str, float]
) -> Iterator[Row]:
    """A row of each corpus.

    Args:
        case: what is trained.
        held_out: clips (N, T, 3, H, W) by corpus.
        budget: of the training.
        peer: PSNR of the single frames by corpus; they fill it in, and where it is there other cases compare with it.
    """
    tokenizer, fitted = _trained(case, budget)
    tokens = num_tokens(case)
    if budget.save_to is not None:
        tokenizer.save(budget.save_to / f"video, {case.name}".replace(" ", "_"))
    size = tokenizer.spec.codebook_size
    about = {"tokens": tokens, "codes": size, "bits": round(tokens * math.log2(size))}
    spent = {"steps": fitted.steps, "train_cpu_s": fitted.cpu_s, "train_wall_s": fitted.wall_s}
    spent |= {"parameters": sum(p.numel() for p in tokenizer.parameters())}
    for corpus, clips in held_out.items():
        decoded, used = _round_trip(case, tokenizer, clips)
        row = _shared(corpus, case.name, not case.is_of_frames) | about | score(decoded, clips)
        row |= {"usage": round(used / size, 3)} | spent
        if case.is_of_frames:
            peer[corpus] = row["psnr"]
        elif corpus in peer:
            gain = row["psnr"] - peer[corpus]
            row |= {"gain_db": round(gain, 2), "is_reached": gain > 0}
        yield row


def _trained(case: Case, budget: Budget) -> tuple[TrainableTokenizer, Fitted]:
    """The steps are those of the last training, the seconds all."""
    torch.manual_seed(budget.seed)
    tokenizer, before = case.make(), Fitted(0, 0.0, 0.0)
    if case.start is not None:
        share = replace(budget, cpu_seconds=_FRAMES_SHARE * budget.cpu_seconds)
        frames, before = _trained(case.start, share)
        tokenizer = inflate(frames, (STRIDE,))
    module = TokenizerModule(tokenizer, lr=case.lr, warmup_steps=50)
    rest = replace(budget, cpu_seconds=budget.cpu_seconds - before.cpu_s)
    fitted = fit(module, case.data(budget.seed), rest, precision=case.precision)
    cpu_s, wall_s = fitted.cpu_s + before.cpu_s, fitted.wall_s + before.wall_s
    return module.tokenizer, Fitted(fitted.steps, round(cpu_s, 1), round(wall_s, 1))


def num_tokens(case: Case) -> int:
    """Tokens of a clip."""
    spec = case.make().spec
    if case.is_of_frames:
        return LENGTH * math.prod(spec.shape())
    return math.prod(spec.shape(1 + (LENGTH - 1) // STRIDE))


def score(decoded: Tensor, clips: Tensor) -> dict[str, float]:
    """PSNR and SSIM over all frames of clips (N, T, 3, H, W)."""
    frames, originals = decoded.flatten(0, 1), clips.flatten(0, 1)
    values = psnr(frames, originals) | {"ssim": ssim(frames, originals)}
    return {name: round(value, 3) for name, value in values.items()}


def _held_out(budget: Budget) -> dict[str, Tensor]:
    data = FilmsAndDigits(1, 1, SIZE, LENGTH, budget.seed)
    clips = {name: data.held_out(name, "test") for name in data.parts}
    return {name: all_of[:_QUICK_CLIPS] if budget.is_quick else all_of for name, all_of in clips.items()}


def _round_trip(case: Case, tokenizer: TrainableTokenizer, clips: Tensor) -> tuple[Tensor, int]:
    """Decoded clips, and how many different codes they used."""
    decoded, codes = [], []
    for some in clips.split(_AT_ONCE):
        of_some = torch.stack(list(tokenizer.encode(some.flatten(0, 1) if case.is_of_frames else some)))
        decoded.append(torch.stack(list(tokenizer.decode(of_some))).reshape(some.shape))
        codes.append(of_some.flatten())
    return torch.cat(decoded), torch.cat(codes).unique().numel()


def _shared(corpus: str, name: str, is_ours: bool) -> Row:
    return {"medium": "video", "corpus": corpus, "case": name, "is_ours": is_ours}
