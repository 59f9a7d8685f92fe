"""A model whose head is not a table of all modalities."""

from __future__ import annotations

from torch import Tensor, nn

from maskmm.model import MaskedTransformer


class WithoutTable(nn.Module):
    """Answers with all logits at once."""

    def __init__(self, model: MaskedTransformer) -> None:
        super().__init__()
        self.model, self.vocabulary = model, model.vocabulary
        self.forward_features, self.logits_of = model.forward_features, model.logits_of

    def logits(self, features: Tensor, name: str, codebook: int) -> Tensor:
        raise AssertionError
