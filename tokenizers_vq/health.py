"""Health of codebooks during training: names, and a warning with advice where one stays nearly unused."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch import Tensor

from tokenizers_vq.quantizers.grouped import numbered

_LOG = logging.getLogger(__name__)
_LOW_USAGE = 0.2


def per_codebook(metrics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Metrics named "kind/codebook"; "revived/codebook" is 0 where the quantizer revives nothing."""
    named = numbered(dict(metrics), 0)
    for name, value in list(named.items()):
        kind, _, index = name.partition("/")
        if kind == "usage":
            named.setdefault(f"revived/{index}", torch.zeros_like(value))
    return named


class UsageWatch:
    """Warns once where a codebook uses less than 20 % of its codes in several looks in a row.

    Args:
        codebook_size: codes of each codebook.
        patience: looks in a row.
    """

    def __init__(self, codebook_size: int, patience: int = 3) -> None:
        self.codebook_size, self.patience = codebook_size, patience
        self._low_count = 0

    def look(self, metrics: Mapping[str, Tensor], step: int) -> None:
        """Look at "usage" or "usage/codebook", shares of codes in use lately. Waits for the device."""
        shares = [float(value) for name, value in metrics.items() if name.partition("/")[0] == "usage"]
        if not shares:
            return
        self._low_count = self._low_count + 1 if min(shares) < _LOW_USAGE else 0
        if self._low_count == self.patience:
            _LOG.warning(
                "step %d: a codebook uses only %.0f %% of its %d codes (usage by level: %s). Try a lower learning "
                "rate, a higher revive_below (0.2), fewer codes, a smaller code_dim, or more media in a batch.",
                step,
                100 * min(shares),
                self.codebook_size,
                ", ".join(f"{s:.2f}" for s in shares),
            )
