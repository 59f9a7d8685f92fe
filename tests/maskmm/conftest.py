"""A tiny untrained model of three modalities, with tokenizers of a few lines each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from maskmm.checkpoint import save_checkpoint
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.pipeline import Pipeline
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.contract import Modality, Tokenizer, TokenSpec

LETTERS = "abcdefghijklmnopqrstuvwxyz "


class ToyImage(Tokenizer):
    """Images (B, 1, 8, 8) <-> 4 x 4 codes: the mean of 2 x 2 pixels in `levels` steps. `shift` is its one weight."""

    media = "image"

    def __init__(self, levels: int = 8) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("shift", torch.zeros(1))

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(self.levels, axes=("y", "x"), grid=(4, 4), stride=(2, 2))

    def config(self) -> dict[str, Any]:
        return {"levels": self.levels}

    def encode(self, media: Any, lengths: Tensor | None = None) -> Tensor:
        if media.shape[1:] != (1, 8, 8):
            raise ValueError(f"images of shape {tuple(media.shape)}, expected (B, 1, 8, 8)")
        if not bool(media.isfinite().all()):
            raise ValueError("image values hold NaN, expected 0 to 1")
        pooled = torch.nn.functional.avg_pool2d(media + self.shift, 2)[:, 0]
        return (pooled * (self.levels - 1)).round().long()[..., None]

    def decode(self, codes: Any) -> Tensor:
        small = torch.stack(list(codes)).float()[..., 0][:, None] / (self.levels - 1)
        return torch.nn.functional.interpolate(small, scale_factor=2.0)


class ToyText(Tokenizer):
    """Text of lower-case letters <-> one code a letter."""

    media = "text"

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(len(LETTERS), axes=("t",), max_length=12)

    def config(self) -> dict[str, Any]:
        return {}

    def encode(self, media: Any, lengths: Tensor | None = None) -> list[Tensor]:
        if not all(isinstance(text, str) and text for text in media):
            raise ValueError(f"texts {media!r}, expected strings that are not empty")
        return [torch.tensor([[LETTERS.index(c)] for c in text]) for text in media]

    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[str]:
        return ["".join(LETTERS[c] for c in row[:, 0].tolist()) for row in codes]


class ToySpeech(Tokenizer):
    """Waveforms at 100 Hz <-> 2 codes for each 10 samples: coarse and fine part of their mean."""

    media = "audio"

    @property
    def spec(self) -> TokenSpec:
        return TokenSpec(4, num_codebooks=2, axes=("t",), max_length=10, stride=(10,), rate=100)

    def config(self) -> dict[str, Any]:
        return {}

    def encode(self, media: Any, lengths: Tensor | None = None) -> list[Tensor]:
        if not all(len(wave) >= 10 for wave in media):
            raise ValueError(f"waveforms of {[len(w) for w in media]} samples, expected at least 10")
        levels = [w[: len(w) // 10 * 10].view(-1, 10).mean(1).add(1).mul(7.5).round().long() for w in media]
        return [torch.stack([level // 4, level % 4], dim=-1).clamp(0, 3) for level in levels]

    def decode(self, codes: Sequence[Tensor] | Tensor) -> list[Tensor]:
        return [((c[:, 0] * 4 + c[:, 1]).float() / 7.5 - 1).repeat_interleave(10) for c in codes]


def build_tokenizers() -> dict[str, Tokenizer]:
    return {"image": ToyImage(), "text": ToyText(), "speech": ToySpeech()}


def build_model(tokenizers: dict[str, Tokenizer]) -> MaskedTransformer:
    modalities = with_length_modalities([Modality(n, t.spec) for n, t in tokenizers.items()])
    torch.manual_seed(0)
    config = TransformerConfig(
        width=32,
        depth=2,
        attention=AttentionConfig(num_heads=2),
        ffn=FeedForwardConfig(width=48),
        init_std=0.2,
    )
    return MaskedTransformer(Vocabulary(modalities), config).eval()


@pytest.fixture
def toy_tokenizers() -> dict[str, Tokenizer]:
    return build_tokenizers()


@pytest.fixture
def toy_model(toy_tokenizers: dict[str, Tokenizer]) -> MaskedTransformer:
    return build_model(toy_tokenizers)


@pytest.fixture
def toy_pipeline(toy_model: MaskedTransformer, toy_tokenizers: dict[str, Tokenizer]) -> Pipeline:
    return Pipeline(toy_model, toy_tokenizers)


@pytest.fixture
def toy_folder(toy_model: MaskedTransformer, toy_tokenizers: dict[str, Tokenizer], tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    save_checkpoint(folder, toy_model, toy_tokenizers, {"image": {"num_steps": 3}})
    return folder


@pytest.fixture
def toy_media() -> dict[str, Any]:
    """Five samples of each modality."""
    generator = torch.Generator().manual_seed(1)
    return {
        "image": torch.rand(5, 1, 8, 8, generator=generator),
        "text": ["a seven", "two", "the number", "nine", "zero please"],
        "speech": [torch.rand(n, generator=generator) * 2 - 1 for n in (30, 55, 20, 100, 43)],
    }
