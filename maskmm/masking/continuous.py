"""Continuous inputs in place of codes: the model sees patches and is asked for codes (Bao et al., BEiT, 2022)."""

from __future__ import annotations

from dataclasses import replace

import torch

from maskmm.masking.base import MaskedSequence, Masking
from maskmm.sequence import TokenSequence
from tokenizers_vq.contract import Key


class InputsInsteadOfCodes(Masking):
    """Another masking's questions, with no code shown of modalities that have continuous inputs.

    A visible row is its continuous input, a masked one the mask's embedding; codes are targets alone. This is training;
    that features and conditions are to show no codes either is said by `embedding.has_codes_beside_inputs: false` of
    the model.

    Args:
        masking: chooses what is hidden and asked.
        names: modalities whose codes are never shown; those of the batch that have continuous inputs where not given.
    """

    def __init__(self, masking: Masking, names: list[str] | None = None) -> None:
        self.masking = masking
        self.names = names

    def __call__(self, sequence: TokenSequence, key: Key) -> MaskedSequence:
        """Mask one packed batch.

        Raises:
            ValueError: a named modality without continuous inputs in this batch.
        """
        names = list(sequence.inputs) if self.names is None else self.names
        bare = [name for name in names if name not in sequence.inputs]
        if bare:
            raise ValueError(
                f"codes of {bare} are not to be shown, but the batch has continuous inputs of {list(sequence.inputs)}"
            )
        masked = self.masking(sequence, key)
        inputs, vocabulary = masked.inputs, sequence.vocabulary
        mine = torch.tensor([vocabulary.index(n) for n in names], dtype=torch.int64, device=inputs.ids.device)
        is_mine = torch.isin(inputs.modality, mine)
        is_hidden = is_mine[:, None] & (masked.mask_kind == 0)
        return replace(
            masked, inputs=replace(inputs, ids=torch.where(is_hidden, vocabulary.pad_id, inputs.ids))
        )
