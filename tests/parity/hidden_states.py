"""The parity harness: a public encoder on padded batches against ours on packed ones, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from maskmm.model import MaskedTransformer
from maskmm.sequence import TokenSequence, pack
from tokenizers_vq.contract import TokenBatch

TOLERANCE = 1e-4
LENGTHS = (1, 7, 31, 12, 12, 2, 19)
"""Odd, even, equal and minimal lengths in one batch."""


def stir(model: nn.Module, seed: int = 0, std: float = 0.3) -> nn.Module:
    """Random numbers in every weight: zero biases and unit gains would hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            scale = std if parameter.ndim < 2 else std * parameter.shape[-1] ** -0.5 / 0.3
            parameter.add_(noise * scale)
    return model.eval()


def random_codes(size: int, lengths: Sequence[int] = LENGTHS, seed: int = 1) -> list[Tensor]:
    """Codes (n, 1) of texts of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, size, (n, 1), generator=generator) for n in lengths]


def padded(codes: Sequence[Tensor], fill: int) -> tuple[Tensor, Tensor]:
    """(B, L) ids and (B, L) int64 attention mask."""
    rows = [c[:, 0] for c in codes]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
    is_real = torch.arange(ids.shape[1])[None] < torch.tensor([len(r) for r in rows])[:, None]
    return ids, is_real.long()


def packed(model: MaskedTransformer, codes: Sequence[Tensor], name: str = "text") -> TokenSequence:
    """Our batch of the same texts."""
    return pack(
        TokenBatch.from_samples([{name: c} for c in codes], model.vocabulary.modalities), model.vocabulary
    )


def rows_of(padded_BLD: Tensor, is_real_BL: Tensor) -> Tensor:
    """The real rows end to end, as ours are packed."""
    return padded_BLD[is_real_BL.bool()]


@torch.no_grad()
def largest_difference(
    model: MaskedTransformer,
    sequence: TokenSequence,
    theirs: Sequence[Tensor],
    logits: Tensor | None = None,
    name: str = "text",
    rows: Tensor | None = None,
) -> float:
    """Largest absolute difference over the embedding, every layer and the masked-LM logits; NaN where one is.

    Args:
        model: ours.
        sequence: our packed batch.
        theirs: (N, D) rows of the embedding and of each layer.
        logits: (T, V) theirs.
        name: the modality of the logits.
        rows: (T,) rows that the logits belong to; all where not given.
    """
    assert len(theirs) == model.config.depth + 1
    pairs = list(zip(model.forward_intermediates(sequence, range(len(theirs))), theirs, strict=True))
    if logits is not None:
        features = model.forward_features(sequence)
        features = features if rows is None else features[rows]
        pairs.append((model.logits(features, name, 0), logits))
    assert all(a.shape == b.shape for a, b in pairs)
    return float(torch.stack([(a - b).abs().max() for a, b in pairs]).max())


Run = Callable[[Tensor, Tensor], tuple[Sequence[Tensor], Tensor | None]]


def text_difference(
    model: MaskedTransformer, run: Run, pad: int = 0, lengths: Sequence[int] = LENGTHS
) -> float:
    """`largest_difference` on random texts; `run` maps padded (ids, mask) to (B, L, D) layers and (B, L, V) logits."""
    codes = random_codes(model.vocabulary.spec("text").codebook_size, lengths)
    ids, is_real = padded(codes, pad)
    with torch.no_grad():
        layers, logits = run(ids, is_real)
    rows = None if logits is None else rows_of(logits, is_real)
    return largest_difference(model, packed(model, codes), [rows_of(x, is_real) for x in layers], rows)
