"""Which word each piece of text belongs to, read from its codes alone: stored codes need no text beside them."""

from __future__ import annotations

from torch import Tensor


def group_words(codes: Tensor, is_continuing: Tensor) -> Tensor:
    """Number the words of a text.

    Args:
        codes: (n,) int64.
        is_continuing: (codebook_size,) bool, True for codes that continue the word of the code before; see
            `Tokenizer.continues_word`.

    Returns:
        (n,) int64, from 0; a text that begins in the middle of a word begins with word 0 all the same.
    """
    starts = ~is_continuing[codes]
    starts[:1] = True
    return starts.cumsum(0) - 1
