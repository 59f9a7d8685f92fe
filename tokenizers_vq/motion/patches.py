"""The linear part of a tokenizer: patches of rows to latents and back."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from tokenizers_vq.quantizers.distributed import sum_over_ranks


class PrincipalPatches(nn.Module):
    """Learned linear maps between patches of a few rows and latents, which start as principal components.

    Beside them a network has only the rest to learn: within minutes convolutions alone stay far behind the principal
    components of the same latent width (docs/negative_results.md).

    Args:
        width: numbers a row.
        patch: rows a latent.
        dim: of the latents.

    Raises:
        ValueError: more latents than numbers in a patch.
    """

    is_fitted: Tensor

    def __init__(self, width: int, patch: int, dim: int) -> None:
        super().__init__()
        if dim > patch * width:
            raise ValueError(
                f"latents of width {dim}, expected at most {patch * width}, the numbers of {patch} rows of {width}"
            )
        self._patch = patch
        start_PD = nn.init.orthogonal_(torch.empty(patch * width, dim))
        self.analysis_PD = nn.Parameter(start_PD)
        self.synthesis_DP = nn.Parameter(start_PD.t().clone())
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))
        # Python's copy of is_fitted: reading a tensor would make a GPU wait each step.
        self._is_fitted = False
        self.register_load_state_dict_post_hook(_read)

    def encode(self, x_BTF: Tensor) -> Tensor:
        """(B, patch * n, width) -> latents (B, n, dim)."""
        return rearrange(x_BTF, "b (n r) f -> b n (r f)", r=self._patch) @ self.analysis_PD

    def decode(self, latents_BND: Tensor) -> Tensor:
        """Latents (B, n, dim) -> (B, patch * n, width)."""
        return rearrange(latents_BND @ self.synthesis_DP, "b n (r f) -> b (n r) f", r=self._patch)

    @torch.no_grad()
    def fit_once(self, x_BTF: Tensor, is_valid_BN: Tensor) -> bool:
        """Start from the components of the real patches of all ranks, unless that was done; returns whether it was now.

        Args:
            x_BTF: rows, about zero mean.
            is_valid_BN: bool, which patches are real.
        """
        if self._is_fitted:
            return False
        rows_NP = rearrange(x_BTF, "b (n r) f -> b n (r f)", r=self._patch)[is_valid_BN].float()
        moments_PP = sum_over_ranks(rows_NP.t() @ rows_NP)
        basis_PD = torch.linalg.eigh(moments_PP).eigenvectors[:, -self.analysis_PD.shape[1] :]
        self.analysis_PD.copy_(basis_PD)
        self.synthesis_DP.copy_(basis_PD.t())
        self.is_fitted.fill_(True)
        self._is_fitted = True
        return True


def _read(module: nn.Module, incompatible_keys: Any) -> None:
    assert isinstance(module, PrincipalPatches)
    module._is_fitted = bool(module.is_fitted)
