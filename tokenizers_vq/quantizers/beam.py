"""Residual codes by beam search: several codings are kept at each level, and the best whole one wins.

The nearest code of a level need not be the one that leaves the later levels the least; see Babenko and Lempitsky,
"Additive Quantization for Extreme Vector Compression" (2014), section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MOST_SCORES = 1 << 22  # 16 MiB of float32 alive at once


@torch.no_grad()
def beam_codes(x_ND: Tensor, codebooks_QKD: Tensor, beam: int) -> Tensor:
    """Codes whose vectors add up to about x, level by level, the best `beam` partial codings kept at each.

    Args:
        x_ND: vectors, float.
        codebooks_QKD: vectors of each level's codes.
        beam: 1 takes the nearest code of each level, as ResidualVQ.encode does.

    Returns:
        (N, Q) int64. A row's codes do not depend on the other rows.

    Raises:
        ValueError: a beam below 1.
    """
    if beam < 1:
        raise ValueError(f"beam={beam}, expected at least 1")
    rows = max(1, _MOST_SCORES // (beam * codebooks_QKD.shape[1]))
    return torch.cat([_search(part_ND, codebooks_QKD.float(), beam) for part_ND in x_ND.float().split(rows)])


def _search(x_ND: Tensor, codebooks_QKD: Tensor, beam: int) -> Tensor:
    num_codes = codebooks_QKD.shape[1]
    rest_NWD = x_ND[:, None]
    codes_NWQ = torch.empty(len(x_ND), 1, 0, dtype=torch.int64, device=x_ND.device)
    for book_KD in codebooks_QKD:
        norm_NW1 = rest_NWD.square().sum(dim=-1, keepdim=True)
        score_NWK = norm_NW1 - 2.0 * rest_NWD @ book_KD.t() + book_KD.square().sum(dim=1)
        flat = score_NWK.flatten(1)
        best_NV = flat.topk(min(beam, flat.shape[1]), dim=1, largest=False).indices
        path_NV1, code_NV = (best_NV // num_codes)[..., None], best_NV % num_codes
        rest_NWD = rest_NWD.take_along_dim(path_NV1, dim=1) - book_KD[code_NV]
        codes_NWQ = torch.cat([codes_NWQ.take_along_dim(path_NV1, dim=1), code_NV[..., None]], dim=-1)
    return codes_NWQ[:, 0]
