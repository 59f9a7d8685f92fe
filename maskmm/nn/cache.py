"""Keys and values of rows that were encoded before, so that decoding in groups encodes each row once."""

from __future__ import annotations

import torch
from torch import Tensor

from maskmm.nn.layout import AttentionLayout


class KeyValueCache:
    """Cached rows of a packed batch, for every layer (M2T: Mentzer et al., "M2T: masking transformers twice", 2023).

    Each step brings some new rows of every sample; they attend to the cached rows of their sample and to each other,
    which is what block-causal attention over the whole gives. For inference.

        cache = KeyValueCache()
        for rows in groups:
            layout = cache.step(cu_seqlens_of_these_rows)     # one forward of all layers with this layout
    """

    def __init__(self) -> None:
        self.offsets: Tensor | None = None
        self.layers: list[tuple[Tensor, Tensor]] = []

    def step(self, cu_new: Tensor, window: int | None = None) -> AttentionLayout:
        """Layout of one forward whose rows (offsets cu_new (B + 1,)) are appended to the cached ones.

        Args:
            cu_new: offsets of the new rows; the same samples at every step.
            window: see AttentionLayout; counted in the order of arrival.

        Raises:
            ValueError: another number of samples, or a last step that did not go through every layer.
        """
        is_first = self.offsets is None
        old = torch.zeros_like(cu_new) if self.offsets is None else self.offsets
        if old.shape != cu_new.shape:
            raise ValueError(
                f"{cu_new.shape[0] - 1} samples in this step, {old.shape[0] - 1} in the cache; give every sample of "
                "the batch at every step (one without new rows has equal offsets)"
            )
        if len({k.shape[0] for k, _ in self.layers}) > 1:
            raise ValueError("the last step stopped before the last layer; run all layers at every step")
        self.offsets = old + cu_new
        step = CacheStep(self.layers, _merge_order(old, cu_new), is_first)
        return AttentionLayout.build(cu_new, self.offsets, window=window, cache=step)


class CacheStep:
    """One forward with a cache: every attention layer calls `extend` once, in order."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]], order: Tensor, is_first: bool) -> None:
        self._layers = layers
        self._order = order
        self._is_first = is_first
        self._number = 0

    def extend(self, k_NGK: Tensor, v_NGK: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's cached and new rows, sample by sample: two (M, G, K); they are kept for the next step.

        Raises:
            ValueError: more layers than the first step had.
        """
        number, self._number = self._number, self._number + 1
        if number == len(self._layers):
            if not self._is_first:
                raise ValueError(
                    f"layer {number + 1} of a step, but the steps before had {number}: its rows of those are missing; "
                    "run all layers of one model at every step, each step once"
                )
            self._layers.append((k_NGK[:0], v_NGK[:0]))
        merged = [
            torch.cat([old, new])[self._order] for old, new in zip(self._layers[number], (k_NGK, v_NGK))
        ]
        self._layers[number] = (merged[0], merged[1])
        return self._layers[number]


def _merge_order(old: Tensor, new: Tensor) -> Tensor:
    """(M,) where each merged row lies in [cached rows, new rows]: a sample's cached rows, then its new ones."""
    counts = torch.stack([old.diff(), new.diff()], dim=1).flatten()
    first = torch.stack([old[:-1], new[:-1] + old[-1]], dim=1).flatten()
    shift = first - (counts.cumsum(0) - counts)
    return torch.repeat_interleave(shift, counts) + torch.arange(int(counts.sum()), device=old.device)
