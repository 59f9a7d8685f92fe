"""The least that the contract toys share: modalities, a stub forward, a stub loss, counters for hashed choices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskmm.masking.base import MaskedSequence
from maskmm.objectives.base import ObjectiveOutput
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec

TEXT = Modality("text", TokenSpec(30, 1, ("t",), max_length=200))
IMAGE = Modality("image", TokenSpec(16, 1, ("y", "x"), (4, 4), stride=(8, 8)))
MOTION = Modality("motion", TokenSpec(12, 3, ("t",), max_length=40))

Predicate = Callable[[Tensor, Tensor], Tensor]


def random_batch(modalities: Sequence[Modality], num_samples: int, length: int, seed: int = 0) -> TokenBatch:
    """`num_samples` samples with one segment of each modality; varying axes are `length` long."""
    generator = torch.Generator().manual_seed(seed)

    def codes(spec: TokenSpec) -> Tensor:
        shape = (*spec.shape(None if spec.is_fixed else length), spec.num_codebooks)
        return torch.randint(0, spec.codebook_size, shape, generator=generator)

    samples = [{m.name: codes(m.spec) for m in modalities} for _ in range(num_samples)]
    return TokenBatch.from_samples(samples, modalities, torch.arange(100, 100 + num_samples))


def random_sequence(
    modalities: Sequence[Modality], num_samples: int, length: int, num_mask_kinds: int = 1
) -> TokenSequence:
    """The same, packed."""
    vocabulary = Vocabulary(modalities, num_mask_kinds)
    return pack(random_batch(modalities, num_samples, length), vocabulary)


def counters(sequence: TokenSequence) -> tuple[Tensor, Tensor, Tensor]:
    """Counters that name each (row, codebook) wherever it is packed; they broadcast to (N, Q)."""
    codebooks = torch.arange(sequence.vocabulary.num_codebooks)
    return sequence.sample_id[sequence.sample][:, None], sequence.row_in_sample()[:, None], codebooks


def random_ids(sequence: TokenSequence, key: Key) -> Tensor:
    """(N, Q) uniformly random ids, each legal for its row and codebook; [PAD] where there is no codebook."""
    sizes = sequence.vocabulary.codebook_sizes()[sequence.modality]
    ids = sequence.vocabulary.offsets()[sequence.modality] + key.integers(sizes, *counters(sequence))
    return torch.where(sequence.has_codebook(), ids, sequence.vocabulary.pad_id)


class Cache:
    """Rows seen so far and their input to each layer."""

    def __init__(self, depth: int, width: int) -> None:
        self.rows = torch.zeros(0, dtype=torch.int64)
        self.layers = [torch.zeros(0, width, dtype=torch.float64) for _ in range(depth)]


class ToyModel(nn.Module):
    """Embedding sum, then layers of naive dense attention inside each sample."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        depth: int = 2,
        input_widths: Mapping[str, int] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.vocabulary, self.depth, self.width = vocabulary, depth, 8

        def weights(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))

        self.table = weights(vocabulary.size, self.width)
        self.axes = weights(len(vocabulary.axes), self.width)
        self.layers = nn.ParameterList(weights(self.width, self.width) for _ in range(depth))
        self.inputs = nn.ParameterDict({n: weights(c, self.width) for n, c in (input_widths or {}).items()})

    def embed(self, sequence: TokenSequence) -> Tensor:
        """(N, D): codes summed ([PAD] is nothing), a wave for each axis, visible continuous inputs projected."""
        x = (self.table[sequence.ids] * (sequence.ids != self.vocabulary.pad_id)[..., None]).sum(dim=1)
        x = x + torch.sin((sequence.position[..., None] + 1) * self.axes).sum(dim=1)
        for name, value in sequence.inputs.items():
            rows = (sequence.modality == self.vocabulary.index(name)).nonzero().flatten()
            is_hidden = torch.isin(sequence.ids[rows, 0], self.vocabulary.mask_ids()[1:])
            x = x.index_add(0, rows, value @ self.inputs[name] * ~is_hidden[:, None])
        return x

    def forward_features(self, sequence: TokenSequence, predicate: Predicate | None = None) -> Tensor:
        """(N, D); `predicate` (query rows, key rows) further restricts attention inside a sample."""
        return self.forward_from(self.embed(sequence), sequence, predicate)

    def forward_from(self, x: Tensor, sequence: TokenSequence, predicate: Predicate | None = None) -> Tensor:
        """The same from embedded rows x (N, D)."""
        cache = Cache(self.depth, self.width)
        return self.advance(x, torch.arange(sequence.num_rows), sequence, predicate, cache)

    def advance(
        self, x: Tensor, rows: Tensor, sequence: TokenSequence, predicate: Predicate | None, cache: Cache
    ) -> Tensor:
        """Features (n, D) of some rows (n,) of `sequence`, which see the rows in the cache and each other."""
        cache.rows = torch.cat([cache.rows, rows])
        may_attend = sequence.sample[rows][:, None] == sequence.sample[cache.rows]
        if predicate is not None:
            may_attend = may_attend & predicate(rows[:, None], cache.rows[None])
        for number, weight in enumerate(self.layers):
            keys = cache.layers[number] = torch.cat([cache.layers[number], x])
            scores = (x @ keys.T / self.width).masked_fill(~may_attend, -torch.inf)
            x = x + torch.tanh(scores.softmax(dim=1) @ keys @ weight)
        return x

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        """(T, V), tied to the embedding."""
        return features @ self.table[self.vocabulary.slice(name, codebook)].T


def part_losses(model: ToyModel, features: Tensor, batch: MaskedSequence) -> ObjectiveOutput:
    """Cross-entropy sums and counts by (modality, codebook, part)."""
    parts = {}
    for t in batch.with_target_rows().target_rows:
        loss = F.cross_entropy(model.logits(features[t.rows], t.name, t.codebook), t.codes, reduction="none")
        for number, part_name in enumerate(batch.part_names):
            is_mine = t.is_real & (t.part == number)
            parts[f"{t.name}/{t.codebook}/{part_name}"] = ((loss * is_mine).sum(), is_mine.sum())
    return ObjectiveOutput(parts)


def changed_rows(before: Tensor, after: Tensor) -> Tensor:
    """(N,) bool: rows of two feature tensors that differ beyond rounding."""
    return (before - after).abs().amax(dim=1) > 1e-9
