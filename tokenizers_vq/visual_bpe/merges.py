"""Learned merges of neighbouring tokens: each token is a rectangle of codes, and a merge joins two that fit."""

from __future__ import annotations

import torch
from torch import Tensor

RIGHT, DOWN = 0, 1
NOTHING = torch.iinfo(torch.int64).max
"""The key of no pair."""


class Merges:
    """Merges in the order in which they were learned; the i-th makes token `num_codes + i`.

    The tokens of a grid are its rectangles in raster order of their upper left corners.

    Args:
        num_codes: tokens of one cell, 0 to num_codes - 1.
        table: (M, 3) int64: first token, second token, and where the second lies: RIGHT of the first, or DOWN (below).

    Raises:
        ValueError: a merge of tokens that are not known yet, in no direction, of unequal sides, or one given twice.
    """

    def __init__(self, num_codes: int, table: Tensor) -> None:
        if table.ndim != 2 or table.shape[1] != 3 or table.is_floating_point():
            raise ValueError(f"merges of shape {tuple(table.shape)} and {table.dtype}, expected (M, 3) int64")
        self.num_codes, self.table = num_codes, table.long().cpu()
        sizes = [(1, 1)] * num_codes
        for index, (first, second, direction) in enumerate(self.table.tolist()):
            sizes.append(_joined_size(sizes, first, second, direction, f"merge {index}"))
        self.height, self.width = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2).unbind(1)
        first_M, second_M, direction_M = self.table.unbind(1)
        keys, self._order = pair_keys(first_M, second_M, direction_M, self.num_tokens).sort()
        if bool((keys[1:] == keys[:-1]).any()):
            raise ValueError("a merge is in the table twice; expected each pair once a direction")
        # One key beyond all others, so that a search never ends outside.
        self._keys = torch.cat([keys, torch.tensor([NOTHING])])

    @property
    def num_tokens(self) -> int:
        """Codes and merged tokens."""
        return self.num_codes + len(self.table)

    def apply(self, grids: Tensor) -> list[Tensor]:
        """Tokens, list of (n,) int64, of grids (B, H, W) of codes from 0 to num_codes - 1; on the CPU.

        Each round makes every grid's earliest merge that its tokens allow, from the left (from above) where three
        equal tokens meet, so there are as many rounds as the busiest grid needs different merges, and not M.
        """
        tokens_BN = grids.long().cpu().flatten(1).clone()
        height, width = grids.shape[1:]
        active = torch.arange(len(tokens_BN) if len(self.table) else 0)
        while len(active):
            now_BN = tokens_BN[active]
            keys_BDN, neighbour_BDN = neighbours(now_BN, (height, width), (self.height, self.width))
            place = torch.searchsorted(self._keys, keys_BDN)
            is_known = (self._keys[place] == keys_BDN) & (keys_BDN != NOTHING)
            rank_BDN = torch.where(is_known, self._order[place.clamp(max=len(self._order) - 1)], NOTHING)
            first_B = rank_BDN.flatten(1).amin(1)
            is_busy = first_B != NOTHING
            is_made = (rank_BDN == first_B[:, None, None]) & is_busy[:, None, None]
            merge(now_BN, is_made, neighbour_BDN, self.num_codes + first_B)
            tokens_BN[active] = now_BN
            active = active[is_busy]
        return [row[row >= 0] for row in tokens_BN]

    def cells(self) -> tuple[Tensor, Tensor]:
        """The codes of every token's rectangle in raster order, one token after the other, and where each begins."""
        blocks = [torch.tensor([[code]]) for code in range(self.num_codes)]
        for first, second, direction in self.table.tolist():
            blocks.append(torch.cat([blocks[first], blocks[second]], dim=1 if direction == RIGHT else 0))
        area = self.height * self.width
        return torch.cat([block.flatten() for block in blocks]), area.cumsum(0) - area


def pair_keys(first: Tensor, second: Tensor, direction: Tensor, num_tokens: int) -> Tensor:
    """One int64 for each pair of tokens in a direction; smaller for smaller directions, then first tokens."""
    return (direction * num_tokens + first) * num_tokens + second


def neighbours(
    tokens_BN: Tensor, grid: tuple[int, int], size: tuple[Tensor, Tensor], num_tokens: int | None = None
) -> tuple[Tensor, Tensor]:
    """What lies right of and below each token, side by side along its whole edge.

    Args:
        tokens_BN: tokens at their upper left cells, -1 in all other cells.
        grid: (H, W), N = H * W.
        size: height and width of each token.
        num_tokens: of the keys; as many as there are sizes where None.

    Returns:
        keys (B, 2, N) int64 of the pairs, the largest int64 where there is none; cell (B, 2, N) of the neighbour.
    """
    height, width = grid
    is_token = tokens_BN >= 0
    tokens = tokens_BN.clamp(min=0)
    high, wide = size[0][tokens], size[1][tokens]
    cell = torch.arange(height * width)
    row, column = cell // width, cell % width
    is_inside = torch.stack([column + wide < width, row + high < height], dim=1)
    other = torch.stack([cell + wide, cell + high * width], dim=1)
    other = torch.where(is_inside, other, 0)
    found = tokens_BN[:, None].expand_as(other).gather(2, other)
    there = found.clamp(min=0)
    is_even = torch.stack([size[0][there[:, 0]] == high, size[1][there[:, 1]] == wide], dim=1)
    is_pair = is_inside & is_token[:, None] & (found >= 0) & is_even
    direction = torch.tensor([RIGHT, DOWN])[None, :, None]
    keys = pair_keys(tokens[:, None], there, direction, num_tokens or len(size[0]))
    return torch.where(is_pair, keys, NOTHING), other


def merge(tokens_BN: Tensor, is_made: Tensor, neighbour_BDN: Tensor, merged_B: Tensor) -> None:
    """Make the marked pairs of one merge a grid, in place; of pairs that share a token, the first of each run.

    What was passed over is made by calling again: a run a a a a gives (aa)(aa).
    """
    is_second = torch.zeros_like(is_made).scatter_reduce(2, neighbour_BDN, is_made, "amax")
    is_made = is_made & ~is_second
    sample, direction, cell = is_made.nonzero(as_tuple=True)
    tokens_BN[sample, neighbour_BDN[sample, direction, cell]] = -1
    tokens_BN[sample, cell] = merged_B[sample]


def _joined_size(
    sizes: list[tuple[int, int]], first: int, second: int, direction: int, name: str
) -> tuple[int, int]:
    if not 0 <= min(first, second) <= max(first, second) < len(sizes) or direction not in (RIGHT, DOWN):
        raise ValueError(
            f"{name} joins tokens {first} and {second} in direction {direction}: expected tokens below {len(sizes)}, "
            f"{RIGHT} (right) or {DOWN} (down)"
        )
    (height, width), (other_height, other_width) = sizes[first], sizes[second]
    if (height != other_height) if direction == RIGHT else (width != other_width):
        raise ValueError(
            f"{name} joins rectangles {sizes[first]} and {sizes[second]} that do not fit together"
        )
    return (height, width + other_width) if direction == RIGHT else (height + other_height, width)
