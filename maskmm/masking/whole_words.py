"""A batch transform that says which pieces of text are one word, for masks that cover whole words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tokenizers_vq.contract import Key, ModalitySource, SegmentTable, TokenBatch, Tokenizer, load_tokenizer


class WholeWords:
    """Fills `TokenBatch.group` of text modalities: words are numbered from 0 within their segment.

    Args:
        modalities: all modalities; those whose tokenizers have words get groups.

    Raises:
        ValueError: no tokenizer that has words.
    """

    def __init__(self, modalities: Sequence[ModalitySource]) -> None:
        tokenizers = {source.name: load_tokenizer(source.tokenizer) for source in modalities}
        self.is_continuing = continuing_codes(tokenizers)

    def __call__(self, batch: TokenBatch, key: Key) -> TokenBatch:
        """The same batch with groups."""
        words = {
            name: _words(batch.codes[name][:, 0], is_continuing, _mine(batch, name))
            for name, is_continuing in self.is_continuing.items()
            if name in batch.codes
        }
        return replace(batch, group={**batch.group, **words})


def continuing_codes(tokenizers: dict[str, Tokenizer]) -> dict[str, Tensor]:
    """name -> (codebook_size,) bool of the tokenizers that have words.

    Raises:
        ValueError: none has.
    """
    tables = {name: tokenizer.continues_word() for name, tokenizer in tokenizers.items()}
    found = {name: table for name, table in tables.items() if table is not None}
    if not found:
        raise ValueError(f"none of the modalities {sorted(tables)} has words, expected one of text at least")
    return found


def _mine(batch: TokenBatch, name: str) -> Tensor:
    """(s,) first row of each segment of a modality that has rows."""
    table: SegmentTable = batch.segments
    return table.start[(table.modality == batch.names.index(name)) & (table.length > 0)]


def _words(codes: Tensor, is_continuing: Tensor, start: Tensor) -> Tensor:
    """(n,) number of each code's word in its segment."""
    is_start = ~is_continuing.to(codes.device)[codes]
    is_start[start] = True
    word, row = is_start.cumsum(0), torch.arange(len(codes), device=codes.device)
    begin = torch.zeros_like(row)
    begin[start] = start
    return word - word[begin.cummax(0).values]
