"""Changes to a distribution before it is sampled; they compose in the order given."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class LogitFilter(ABC):
    """(T, V) float logits -> (T, V) float logits; -inf rules a code out, and one code at least stays."""

    @abstractmethod
    def __call__(self, logits_TV: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Temperature(LogitFilter):
    """Divide logits by a temperature; 0 keeps the most probable code alone.

    Args:
        temperature: at least 0; 1 changes nothing.

    Raises:
        ValueError: a negative or infinite temperature.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (0.0 <= self.temperature < math.inf):
            raise ValueError(f"temperature={self.temperature}, expected 0 (argmax) or a positive number")

    def __call__(self, logits_TV: Tensor) -> Tensor:
        if self.temperature == 0.0:
            return _keep(logits_TV, logits_TV.argmax(dim=1, keepdim=True))
        return logits_TV / self.temperature


@dataclass(frozen=True)
class TopK(LogitFilter):
    """Keep the k most probable codes.

    Args:
        k: at least 1; more than the codebook holds keeps all.

    Raises:
        ValueError: k below 1.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"top_k={self.k}, expected at least 1")

    def __call__(self, logits_TV: Tensor) -> Tensor:
        if self.k >= logits_TV.shape[1]:
            return logits_TV
        return _keep(logits_TV, logits_TV.topk(self.k, dim=1).indices)


@dataclass(frozen=True)
class TopP(LogitFilter):
    """Keep the fewest most probable codes whose probabilities add up to p (Holtzman et al., 2020).

    Args:
        p: in (0, 1]; 1 keeps all.

    Raises:
        ValueError: p outside (0, 1].
    """

    p: float

    def __post_init__(self) -> None:
        if not 0.0 < self.p <= 1.0:
            raise ValueError(f"top_p={self.p}, expected a probability above 0 and up to 1")

    def __call__(self, logits_TV: Tensor) -> Tensor:
        if self.p == 1.0:
            return logits_TV
        sorted_TV, code_TV = logits_TV.sort(dim=1, descending=True, stable=True)
        probability_TV = sorted_TV.softmax(dim=1)
        before_TV = probability_TV.cumsum(dim=1) - probability_TV
        before_TV[:, 0] = 0.0  # the first code stays, whatever the rounding
        sorted_TV = sorted_TV.masked_fill(before_TV >= self.p, -math.inf)
        return torch.empty_like(logits_TV).scatter_(1, code_TV, sorted_TV)


def _keep(logits_TV: Tensor, codes_TK: Tensor) -> Tensor:
    kept_TV = torch.full_like(logits_TV, -math.inf)
    return kept_TV.scatter_(1, codes_TK, logits_TV.gather(1, codes_TK))
