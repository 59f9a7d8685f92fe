"""Classifier-free guidance on features: u + s (c - u), in one packed forward."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from maskmm.objectives.base import MaskedModel
from maskmm.sequence import TokenSequence, concatenate


@dataclass(frozen=True)
class Guidance:
    """Push predictions away from what the model says without its condition (Ho and Salimans, 2022).

    A linear head makes guiding the features before it the same as guiding logits, at the cost of one head instead of
    two; a "dense" head (`HeadConfig.kind`) transforms the guided features, which is not quite the same. The
    unconditional state is the absent condition: its segments have no rows.

    Args:
        scale: s in u + s (c - u), the same at every step; 1 is no guidance and no second pass, 0 ignores the
            condition, a negative scale leads away from it.

    Raises:
        ValueError: a scale that is not finite.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"guidance scale={self.scale}, expected a finite number (1 = no guidance)")

    def scale_at(self, progress: Tensor) -> Tensor | float:
        """Scale at a share (T,) of the way through the steps."""
        return self.scale

    def features(
        self,
        model: MaskedModel,
        sequence: TokenSequence,
        rows: Tensor,
        is_condition: Tensor | None,
        progress: Tensor,
    ) -> Tensor:
        """Guided features of some rows.

        Args:
            model: gives features of a whole sequence.
            sequence: N rows.
            rows: (T,) int64, rows that are asked for; none of them may be a condition.
            is_condition: (N,) bool, rows that the unconditional pass lacks; None where there are none.
            progress: (T,) float64, share of the steps done, for scales that change.

        Returns:
            (T, D) features.
        """
        if self.scale == 1.0 or is_condition is None:
            return model.forward_features(sequence)[rows]
        is_kept = ~is_condition
        both_ND = model.forward_features(concatenate([sequence, sequence.select_rows(is_kept)]))
        unconditional_rows = sequence.num_rows + (is_kept.cumsum(0) - 1)[rows]
        conditional_TD, unconditional_TD = both_ND[rows], both_ND[unconditional_rows]
        scale = self.scale_at(progress)
        if isinstance(scale, Tensor):
            scale = scale[:, None].to(both_ND.dtype)
        return unconditional_TD + scale * (conditional_TD - unconditional_TD)


@dataclass(frozen=True)
class RampedGuidance(Guidance):
    """Scale growing from 1 to `scale` in proportion to the steps done (Chang et al., Muse, 2023)."""

    def scale_at(self, progress: Tensor) -> Tensor | float:
        """1 + (scale - 1) * progress."""
        return 1.0 + (self.scale - 1.0) * progress
