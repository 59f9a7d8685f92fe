"""Stub models whose head only cuts its slice out of the features: features are the logits of all joint ids."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tests.contracts.random_batches import batches, vocabularies
from tokenizers_vq.contract import Key, Modality, TokenBatch, TokenSpec

IMAGE = Modality("image", TokenSpec(11, axes=("y", "x"), grid=(3, 4)))
AUDIO = Modality("audio", TokenSpec(7, 2, ("t",), max_length=6))
TEXT = Modality("text", TokenSpec(13, axes=("t",), max_length=5))
LABEL = Modality("label", TokenSpec(4))
MODALITIES = with_length_modalities([IMAGE, AUDIO, TEXT, LABEL])
VOCABULARY = Vocabulary(MODALITIES)


class StubModel:
    """Head of all stubs; counts forwards and asked logits."""

    def __init__(self, vocabulary: Vocabulary = VOCABULARY) -> None:
        self.vocabulary = vocabulary
        self.samples_seen: list[list[int]] = []
        self.num_logit_rows = 0

    @property
    def num_forwards(self) -> int:
        return len(self.samples_seen)

    def forwards_of(self, sample_id: int) -> int:
        return sum(sample_id in seen for seen in self.samples_seen)

    def forward_features(self, sequence: TokenSequence) -> Tensor:
        self.samples_seen.append(sequence.sample_id[sequence.sample].unique().tolist())
        return self.features(sequence).flatten(1)

    def features(self, sequence: TokenSequence) -> Tensor:
        """(N, Q, joint ids)."""
        raise NotImplementedError

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        self.num_logit_rows += features.shape[0]
        wide = features.unflatten(1, (self.vocabulary.num_codebooks, self.vocabulary.size))
        return wide[:, codebook, self.vocabulary.slice(name, codebook)]


class HashModel(StubModel):
    """Logits hash everything in the row's own sample, and nothing else: exact at any batch size."""

    def features(self, sequence: TokenSequence) -> Tensor:
        key = Key(17)
        codebook = torch.arange(sequence.ids.shape[1])
        parts = key.bits(sequence.ids, sequence.row_in_sample()[:, None], codebook).sum(dim=1)
        content = torch.zeros(sequence.num_samples, dtype=torch.int64).index_add_(0, sequence.sample, parts)
        row = key.bits(content[sequence.sample], sequence.row_in_sample())
        joint = torch.arange(self.vocabulary.size)
        uniform = Key(18).uniform(row[:, None, None], codebook[None, :, None], joint[None, None, :])
        return (6 * uniform).float()


class OracleModel(StubModel):
    """Sure of the right answer, wherever the sample lies in a batch."""

    def __init__(self, answer: TokenSequence) -> None:
        super().__init__(answer.vocabulary)
        self.answer = dict(zip(self._places(answer), answer.ids))

    @staticmethod
    def _places(sequence: TokenSequence) -> list[tuple[int, ...]]:
        columns = (sequence.sample_id[sequence.sample], sequence.modality, *sequence.position.unbind(1))
        return [tuple(values) for values in torch.stack(columns, dim=1).tolist()]

    def features(self, sequence: TokenSequence) -> Tensor:
        ids = torch.stack([self.answer[where] for where in self._places(sequence)])
        return 50.0 * torch.nn.functional.one_hot(ids, self.vocabulary.size).float()


def full_batch(num_samples: int, seed: int = 0) -> TokenBatch:
    """Samples with an image, a clip and a text of differing lengths; ids 100, 101, ..."""
    generator = torch.Generator().manual_seed(seed)

    def codes(m: Modality, *shape: int) -> Tensor:
        return torch.randint(0, m.spec.codebook_size, (*shape, m.spec.num_codebooks), generator=generator)

    samples = [
        {"text": codes(TEXT, 1 + b % 5), "image": codes(IMAGE, 3, 4), "audio": codes(AUDIO, 1 + b % 6)}
        for b in range(num_samples)
    ]
    return TokenBatch.from_samples(samples, MODALITIES, torch.arange(num_samples) + 100)


def unknown_of(sequence: TokenSequence, *names: str) -> Tensor:
    """(N, Q) bool: every slot of these modalities."""
    is_mine = torch.zeros(sequence.num_rows, dtype=torch.bool)
    for name in names:
        is_mine |= sequence.modality == sequence.vocabulary.index(name)
    return sequence.has_codebook() & is_mine[:, None]


@st.composite
def partly_unknown(draw: st.DrawFn) -> tuple[TokenSequence, Tensor]:
    """Any packed batch with any pattern of unknown slots, also none."""
    vocabulary = draw(vocabularies())
    batch = draw(batches(vocabulary.modalities, with_extras=False))
    sequence = pack(batch, vocabulary, has_cls=draw(st.booleans()))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    share = draw(st.sampled_from([0.0, 0.3, 0.8, 1.0]))
    is_drawn = torch.rand(sequence.ids.shape, generator=generator) < share
    return sequence, is_drawn & sequence.has_codebook()
