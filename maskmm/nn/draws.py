"""What training leaves out: whole branches of a sample (stochastic depth, Huang et al., 2016), single values (dropout).

Both are hashed from (seed, step, sample id, place): packing, sharding and accumulation do not change them, a resumed
run goes on as it would have, and recomputed blocks see them again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.nn.transformer_config import TransformerConfig
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key

_DROPOUT = Key(0).fold("dropout")
_DROP_PATH = Key(0).fold("drop_path")
_ODD_1, _ODD_2 = 0x7FEB352D, -2073319797
"""Multipliers of a 32-bit mixer (Wellons, "Prospecting for hash functions", 2018)."""


@dataclass(frozen=True)
class BranchDraws:
    """Draws of one branch of one layer.

    Attributes:
        keep: (N, 1) float, 0 where the row's sample is without the branch, else 1 / (1 - probability); None = all 1.
        noise: (N,) int32, hashed bits of each row, for dropout; None = no dropout.
    """

    keep: Tensor | None = None
    noise: Tensor | None = None

    def of_rows(self, index: Tensor) -> BranchDraws:
        """The draws of some rows."""
        return BranchDraws(*(None if t is None else t[index] for t in (self.keep, self.noise)))


LayerDraws = tuple[BranchDraws, BranchDraws]
"""Of the attention and of the feed-forward."""
NOTHING: LayerDraws = (BranchDraws(), BranchDraws())
FORMER_COUNTERS = ("drop_path.seed", "drop_path.step")
"""Numbers that were saved with models of earlier versions, and are ignored."""


def draws_of_rows(draws: LayerDraws, index: Tensor) -> LayerDraws:
    """The draws of some rows."""
    return draws[0].of_rows(index), draws[1].of_rows(index)


class TrainingDraws(nn.Module):
    """Draws of one training forward at a time.

    The seed comes from torch's generator when the model is built; neither number is saved with the model, as its
    trainer knows both (`MaskedTransformer.at_step`).

    Args:
        num_layers: blocks that may leave branches out, and sites of dropout.
        num_more: further layers, whose branches are never left out.
        drop_path: probability of the last block's branches; block i has i / (num_layers - 1) of it.
        has_dropout: whether any dropout is above 0.
    """

    rate: Tensor
    seed: Tensor
    step: Tensor

    def __init__(self, num_layers: int, num_more: int, drop_path: float, has_dropout: bool) -> None:
        super().__init__()
        rate = F.pad(torch.linspace(0.0, drop_path, num_layers), (0, num_more))
        self.register_buffer("rate", rate, persistent=False)
        with torch.random.fork_rng(devices=[]):  # the weights of a seed do not depend on what is left out
            self.register_buffer("seed", torch.randint(1 << 20, ()), persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)
        self.has_drop_path, self.has_dropout = drop_path > 0, has_dropout

    def forward(self, sequence: TokenSequence) -> list[LayerDraws]:
        """Draws of every layer; each call in training is the next step's, unless `step` was set before."""
        keep = self._keep(sequence) if self.has_drop_path else None
        noise = self._noise(sequence) if self.has_dropout else None
        self.step += 1

        def branch(layer: int, number: int) -> BranchDraws:
            return BranchDraws(*(None if t is None else t[layer, number] for t in (keep, noise)))

        return [(branch(layer, 0), branch(layer, 1)) for layer in range(self.rate.shape[0])]

    def _keep(self, sequence: TokenSequence) -> Tensor:
        """(L, 2, N, 1)."""
        rate_L11 = self.rate[:, None, None]
        draw_L2B = _DROP_PATH.uniform(self.seed, self.step, sequence.sample_id, *self._sites())
        factor_L2B = (draw_L2B >= rate_L11).to(rate_L11.dtype) / (1 - rate_L11)
        return factor_L2B[..., sequence.sample, None]

    def _noise(self, sequence: TokenSequence) -> Tensor:
        """(L, 2, N) int32."""
        sample_id, row = sequence.sample_id[sequence.sample], sequence.row_in_sample()
        bits = _DROPOUT.bits(self.seed, self.step, sample_id, row, *self._sites())
        return (bits >> 32).int()

    def _sites(self) -> tuple[Tensor, Tensor]:
        """(L, 1, 1) layers and (2, 1) branches."""
        device = self.rate.device
        layers = torch.arange(self.rate.shape[0], device=device)[:, None, None]
        return layers, torch.arange(2, device=device)[:, None]


def build_draws(config: TransformerConfig) -> TrainingDraws | None:
    """Draws for the layers of the model, those of its decoder, and the embedding; None where nothing is left out."""
    options, decoder = config.residual, config.decoder
    has_dropout = options.dropout > 0 or config.embedding.dropout > 0
    if not options.drop_path and not has_dropout:
        return None
    num_more = 1 if decoder is None else decoder.depth + 1
    return TrainingDraws(config.depth, num_more, options.drop_path, has_dropout)


class HashedDropout(nn.Module):
    """Dropout whose masks are a function of the rows' noise.

    Args:
        width: D.
        probability: that a value becomes 0; the others are divided by 1 - probability.
    """

    channel: Tensor

    def __init__(self, width: int, probability: float) -> None:
        super().__init__()
        self.probability = probability
        bits = _DROPOUT.fold("channel").bits(torch.arange(width))
        self.register_buffer("channel", (bits >> 32).int(), persistent=False)

    def forward(self, x_ND: Tensor, noise_N: Tensor | None) -> Tensor:
        """(N, D) and (N,) int32 -> (N, D); unchanged where there is no noise, as outside training."""
        if noise_N is None or not self.probability:
            return x_ND
        bits = (noise_N[:, None] ^ self.channel) * _ODD_1
        bits = (bits ^ (bits >> 15)) * _ODD_2
        bits = bits ^ (bits >> 16)  # the shift brings copies of the sign: 31 random bits and a 0 are left
        is_kept = bits >= int(self.probability * (1 << 31))
        return torch.where(is_kept, x_ND / (1 - self.probability), 0.0)
