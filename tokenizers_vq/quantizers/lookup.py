"""Nearest code by matrix products over tiles: argmin |x - e|^2 = argmax (x.e - |e|^2 / 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_CPU_TILE = (1024, 512)  # rows x codes: 2 MiB of scores; measured best from 1k to 16k codes
_GPU_SCORES = 1 << 26  # 256 MiB of float32 scores
_MIN_ROWS = 128
_WIDE = 64  # dimensions from which the product is most of the work
_IMAGES = 16
_RUN = 64  # scores whose maximum is taken before an index is looked for


def nearest_code(x_ND: Tensor, codebook_KD: Tensor) -> Tensor:
    """Index of the nearest code by Euclidean distance; no (N, K) tensor beyond one tile is made.

    Args:
        x_ND: vectors, float.
        codebook_KD: codes, float.

    Returns:
        (N,) int64; of equally near codes the first.
    """
    with torch.no_grad(), torch.autocast(x_ND.device.type, enabled=False):
        # Distances in bfloat16 would confuse neighbouring codes.
        x_ND, codebook_KD = x_ND.float(), codebook_KD.float()
        half_norm_K = codebook_KD.square().sum(dim=1).mul_(-0.5)
        num_rows, num_codes = x_ND.shape[0], codebook_KD.shape[0]
        rows, columns = max(_MIN_ROWS, _GPU_SCORES // num_codes), num_codes
        if x_ND.device.type == "cpu":
            rows, columns = _CPU_TILE
        scores = torch.empty(min(rows, num_rows) * min(columns, num_codes), device=x_ND.device)
        out_N = torch.empty(num_rows, dtype=torch.int64, device=x_ND.device)
        for row in range(0, num_rows, rows):
            out_N[row : row + rows] = _nearest_in_tiles(
                x_ND[row : row + rows], codebook_KD, half_norm_K, columns, scores
            )
        return out_N


def _nearest_in_tiles(
    x_ND: Tensor, codebook_KD: Tensor, half_norm_K: Tensor, columns: int, scores: Tensor
) -> Tensor:
    """Nearest codes of a few rows, tile after tile of `columns` codes; `scores` is scratch memory."""
    best_N = index_N = x_ND.new_empty(0)
    for first in range(0, codebook_KD.shape[0], columns):
        codes_CD, bias_C = codebook_KD[first : first + columns], half_norm_K[first : first + columns]
        top_N, here_N = _first_largest(_product(x_ND, codes_CD, bias_C, scores))
        if first == 0:
            best_N, index_N = top_N, here_N
        else:
            is_nearer = top_N > best_N
            best_N = torch.where(is_nearer, top_N, best_N)
            index_N = torch.where(is_nearer, here_N + first, index_N)
    return index_N


def _product(x_ND: Tensor, codes_CD: Tensor, bias_C: Tensor, scores: Tensor) -> Tensor:
    """(N, C) x_ND @ codes_CD.T + bias_C, float32; it may lie in `scores`."""
    (rows, dim), columns = x_ND.shape, codes_CD.shape[0]
    if x_ND.device.type != "cpu" or dim < _WIDE:
        tile_NC = scores[: rows * columns].view(rows, columns)
        return torch.addmm(bias_C, x_ND, codes_CD.t(), out=tile_NC)
    # As a 1 x 1 convolution of channels-last images: the same float32 sums, by oneDNN in place of MKL, which leaves
    # AVX-512 unused on AMD's processors (twice as fast there). PyTorch gives oneDNN batches of 16 images and more.
    padded_ND = F.pad(x_ND, (0, 0, 0, -rows % _IMAGES)) if rows % _IMAGES else x_ND
    images = padded_ND.view(_IMAGES, 1, -1, dim).permute(0, 3, 1, 2)
    out = F.conv2d(images, codes_CD[:, :, None, None], bias_C)
    return out.permute(0, 2, 3, 1).reshape(-1, columns)[:rows]


def _first_largest(scores_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Largest score of each row and its first index: (N,) and (N,) int64."""
    rows, columns = scores_NC.shape
    if scores_NC.device.type != "cpu" or columns % _RUN:
        top_N, index_N = scores_NC.max(dim=1)
        return top_N, index_N
    # A maximum without its index is several times as fast on CPUs: the index is looked for in one run alone.
    runs_MC = scores_NC.view(-1, _RUN)
    run_N = runs_MC.amax(dim=1).view(rows, -1).argmax(dim=1)
    place_N = torch.arange(rows).mul_(columns // _RUN).add_(run_N)
    top_N, index_N = runs_MC.index_select(0, place_N).max(dim=1)
    return top_N, index_N.add_(run_N, alpha=_RUN)
