"""Features of packed tokens: any set of modalities in, any layers, pooled or token by token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from maskmm.model import MaskedTransformer
from maskmm.sequence import TokenSequence, pack
from tokenizers_vq.contract import TokenBatch

Pool = Literal["mean", "cls", "all", "tokens", "map"]
Features = Tensor | list[Tensor]

JOINT = "joint"
"""Key of what belongs to all modalities of a sample together."""


class FeatureExtractor:
    """Hidden states of a masked transformer, nothing masked. Modalities given together attend to each other.

    The width W of what comes out is D for one layer; several layers lie side by side, W = len(layers) * D.

    Args:
        model: used in the mode it is in; put it in eval mode first.
        layers: 0 = embedding, i = block i, -1 = last block after the last norm.
        pool: what one sample becomes.
            "mean": (B, W), the mean over the modality's tokens; "joint" over those of all modalities.
            "all": (B, W), the mean over all rows of a sample, [CLS] and [SEP] among them, as sentence encoders are
            pooled; with several modalities its only key is "joint".
            "cls": (B, W), the [CLS] row; it has seen the whole sample, so with several modalities its only key is
            "joint".
            "tokens" or None: list of B tensors (n, W); "joint" has all tokens of the sample in order.
            "map": (B, *grid, W) for modalities of fixed grid, else a list of B tensors (*shape, W); one segment a
            sample.

    Raises:
        ValueError: an unknown pool, or no layers.
    """

    def __init__(
        self, model: MaskedTransformer, layers: Sequence[int] = (-1,), pool: Pool | None = "mean"
    ) -> None:
        if pool is not None and pool not in get_args(Pool):
            raise ValueError(f"pool={pool!r}, expected one of {get_args(Pool)} or None (= 'tokens')")
        if isinstance(layers, int) or not layers:
            raise ValueError(f"layers={layers!r}, expected a list of at least one layer, such as [-1]")
        if pool == "cls" and not model.vocabulary.has_cls:
            raise ValueError("pool='cls', but this model has no [CLS] row; take pool='mean'")
        self.model = model
        self.layers = list(layers)
        self.pool = pool or "tokens"

    def __call__(self, batch: TokenBatch) -> dict[str, Features]:
        """Features of a batch.

        Args:
            batch: every sample must have the same modalities.

        Returns:
            modality name -> features, float32 on the CPU, ordinary tensors (a probe can be trained on them); and
            "joint" where there are several modalities (but for "map").

        Raises:
            ValueError: a sample that lacks a modality which others have, or a layer that the model lacks.
        """
        names = present_names(batch)
        if len(names) > 1 and JOINT in names:
            raise ValueError(f"modality name {JOINT!r} is taken by the features of all modalities; rename it")
        rows, sequence = self._forward(batch)
        # Moved outside inference mode, so that autograd accepts what comes out.
        x_NW = rows.float().cpu().clone()
        sample, modality = sequence.sample.cpu(), sequence.modality.cpu()
        whole = names[0] if len(names) == 1 else JOINT
        if self.pool == "cls":
            return {whole: x_NW[sequence.cu_seqlens[:-1].cpu()]}
        if self.pool == "all":
            return {whole: _mean(x_NW, sample, batch.num_samples)}
        groups = {name: modality == self.model.vocabulary.index(name) for name in names}
        if self.pool == "map":
            return {name: self._map(x_NW[is_mine], name, batch) for name, is_mine in groups.items()}
        if len(names) > 1:
            groups[JOINT] = modality > 0
        pool = _mean if self.pool == "mean" else _tokens
        return {name: pool(x_NW[m], sample[m], batch.num_samples) for name, m in groups.items()}

    @torch.inference_mode()
    def _forward(self, batch: TokenBatch) -> tuple[Tensor, TokenSequence]:
        device = next(self.model.parameters()).device
        sequence = pack(batch, self.model.vocabulary).to(device)
        return torch.cat(self.model.forward_intermediates(sequence, self.layers), dim=-1), sequence

    def _map(self, x_nW: Tensor, name: str, batch: TokenBatch) -> Features:
        spec, table = self.model.vocabulary.spec(name), batch.segments
        is_mine = table.modality == batch.names.index(name)
        if int(is_mine.sum()) != batch.num_samples:
            raise ValueError(f"pool='map' needs one segment of {name!r} a sample; take pool='tokens' instead")
        shapes = table.shape[is_mine, : len(spec.axes)].tolist()
        parts = x_nW.split(table.length[is_mine].tolist())
        maps = [part.reshape(*shape, x_nW.shape[-1]) for part, shape in zip(parts, shapes)]
        return torch.stack(maps) if spec.is_fixed else maps


def present_names(batch: TokenBatch) -> list[str]:
    """Names of the modalities in a batch, each of which every sample must have.

    Raises:
        ValueError: no tokens at all, or a sample that lacks one.
    """
    table, names = batch.segments, []
    for index, name in enumerate(batch.names):
        has_it = torch.zeros(batch.num_samples, dtype=torch.bool)
        has_it[table.sample[table.modality == index]] = True
        if not bool(has_it.any()):
            continue
        if not bool(has_it.all()):
            lacking = (~has_it).nonzero().flatten().tolist()
            raise ValueError(
                f"samples {lacking[:8]} have no {name!r}, but others do; extract them separately"
            )
        names.append(name)
    if not names:
        raise ValueError("no tokens to make features of; give at least one modality")
    return names


def join_features(parts: Iterable[dict[str, Features]]) -> dict[str, Features]:
    """The features of several batches, one after the other."""
    joined: dict[str, list[Features]] = {}
    for part in parts:
        for name, value in part.items():
            joined.setdefault(name, []).append(value)
    return {name: _join(values) for name, values in joined.items()}


def _join(values: list[Features]) -> Features:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values):
        return torch.cat(tensors)
    return [row for value in values for row in value]


def _mean(x_nW: Tensor, sample: Tensor, num_samples: int) -> Tensor:
    total = x_nW.new_zeros(num_samples, x_nW.shape[-1]).index_add_(0, sample, x_nW)
    return total / torch.bincount(sample, minlength=num_samples)[:, None]


def _tokens(x_nW: Tensor, sample: Tensor, num_samples: int) -> list[Tensor]:
    return list(x_nW.split(torch.bincount(sample, minlength=num_samples).tolist()))
