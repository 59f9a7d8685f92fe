"""Masked rows stay out of the encoder (Meng et al., "MAE-LM", 2024; Chen et al., "BEATs", 2023)."""

from __future__ import annotations

from dataclasses import replace

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.rows import is_wholly_masked
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


class LeaveOutMasked(Masking):
    """Another masking's questions, with rows of which nothing is visible left out of the encoder.

    Rows with a visible codebook, and those whose code was replaced by another, stay in. The model needs a decoder
    (`transformer.head.decoder`), which puts the rows back. It would find the same rows itself; found here, in the data
    workers, the training step does not wait for the device.

    Args:
        masking: chooses what is hidden and asked.
    """

    def __init__(self, masking: Masking) -> None:
        self.masking = masking

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        """Mask one packed batch."""
        masked = self.masking(sequence, key)
        return replace(masked, is_encoded=~is_wholly_masked(masked.inputs))
