"""Waveform codec beside Opus and an EnCodec architecture trained for the same CPU time, at equal bit rates.

Trains configs/tokenizer/fourier_codec.yaml on the data of configs/experiment/codec.yaml, then EnCodec's convolutions
with the same quantizer, losses, data and CPU time. Levels of a residual quantizer add up, so the first ones alone are a
codec of a lower rate: the rows of fewer codebooks come from the same training. "usage": share of the codes that occur
on the held-out clips, in the codebook where it is least; "is_reached": digits are recognised at least 0.9 times as
often as the originals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import soundfile
import torch
from torch import Tensor

from benchmarks.rate_distortion.budget import Budget, fit
from benchmarks.rate_distortion.configs import build_module, read_config
from benchmarks.rate_distortion.encodec_peer import encodec
from benchmarks.rate_distortion.opus import Opus
from benchmarks.rate_distortion.sounds import RATE, Sounds, held_out
from datamodules.speech_media import SpeechCrops
from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.multi_scale_mel import MultiScaleMel
from tokenizers_vq.training import TokenizerModule

Row = dict[str, Any]
_GOAL = 0.9
_PRECISION = "bf16-mixed"  # of both trainings; a step of ours took 115 ms, 155 in float32
_FIRST = (12, 8, 4, 2)  # codebooks of the rows
_PEER_LR = 1e-3
_BATCH = 16
_SAVED = 10  # clips that are written as files


def rows(budget: Budget) -> Iterator[Row]:
    """Rows of the digits and of the prompts: Opus, ours, the EnCodec architecture."""
    told = read_config("experiment/codec.yaml")["data"]["init_args"]
    data = SpeechCrops(num_steps=1, seed=budget.seed, **told | {"cache_dir": None})
    sounds = held_out(budget)
    for rate in (6_000, 12_000):
        yield from _opus_rows(Opus(rate), sounds)
    module = _module(budget.seed)
    codec = module.tokenizer
    assert isinstance(codec, WaveformCodec)
    peer = _peer_of(module, codec)
    for name, is_ours, trained in (("WaveformCodec, Fourier", True, module), ("EnCodec", False, peer)):
        fitted = fit(trained, data, budget, precision=_PRECISION)
        shared = {
            "is_ours": is_ours,
            "parameters": sum(p.numel() for p in trained.tokenizer.parameters()),
            "train_cpu_s": fitted.cpu_s,
            "steps": fitted.steps,
        }
        assert isinstance(trained.tokenizer, WaveformCodec)
        if is_ours and budget.save_to is not None:
            codec.save(budget.save_to / "codec")
        yield from _codec_rows(name, trained.tokenizer, sounds, shared, budget)


def _module(seed: int) -> TokenizerModule:
    """What the config describes, with weights drawn from the seed."""
    told = read_config("tokenizer/fourier_codec.yaml")["init_args"]
    return build_module(told, seed, allow=[MultiScaleMel])


def _peer_of(module: TokenizerModule, codec: WaveformCodec) -> TokenizerModule:
    """EnCodec with a quantizer and losses like the module's."""
    assert codec.spec.max_length is not None
    return TokenizerModule(
        encodec(deepcopy(codec.quantizer), codec.spec.max_length),
        lr=_PEER_LR,
        warmup_steps=module.warmup_steps,
        betas=module.betas,
        comparisons={str(name): deepcopy(loss) for name, loss in module.comparisons.items()},
    )


def _opus_rows(opus: Opus, sounds: Sequence[Sounds]) -> Iterator[Row]:
    for corpus in sounds:
        found = [opus.through(clip) for clip in corpus.clips]
        rate = sum(bits for _, bits in found) / len(found) / 1000
        row: Row = {"medium": "audio", "corpus": corpus.name, "case": "Opus, constant bit rate"}
        yield row | {"is_ours": False, "kbit_s": round(rate, 2)} | corpus.score([y for y, _ in found])


def _codec_rows(
    name: str, codec: WaveformCodec, sounds: Sequence[Sounds], shared: Row, budget: Budget
) -> Iterator[Row]:
    for corpus in sounds:
        codes = [code for some in _batches(corpus.clips) for code in codec.encode(some)]
        most = codec.spec.num_codebooks
        used = torch.cat(codes)
        for count in sorted({min(first, most) for first in _FIRST}, reverse=True):
            decoded = [
                y for some in _batches(codes) for y in codec.decode([code[:, :count] for code in some])
            ]
            usage = [len(column.unique()) / codec.spec.codebook_size for column in used[:, :count].unbind(1)]
            row: Row = {
                "medium": "audio",
                "corpus": corpus.name,
                "case": f"{name}, {count} codebooks",
                "kbit_s": round(count * math.log2(codec.spec.codebook_size) * RATE / codec.stride / 1000, 2),
                "usage": round(min(usage), 3),
            }
            row |= shared | corpus.score(decoded)
            if shared["is_ours"] and "recognised_share" in row:
                row |= {"goal_share": _GOAL, "is_reached": row["recognised_share"] >= _GOAL}
            yield row
            if budget.save_to is not None:
                _write(budget.save_to / f"{corpus.name}, {row['case']}".replace(" ", "_"), decoded)
                _write(budget.save_to / f"{corpus.name}, originals".replace(" ", "_"), corpus.clips)


def _batches(clips: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    return (clips[first : first + _BATCH] for first in range(0, len(clips), _BATCH))


def _write(folder: Path, clips: Sequence[Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips[:_SAVED]):
        soundfile.write(folder / f"{index}.wav", clip.numpy(), RATE)
