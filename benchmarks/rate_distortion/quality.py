"""Quality of decoded images and frames: PSNR over all pixels or the drawn ones, pooled in both usual ways, and SSIM."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

_SMALLEST = 1e-10  # mean squared error of a perfect image: 100 dB


def psnr(decoded: Tensor, original: Tensor, is_counted: Tensor | None = None) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of values in [0, 1].

    Args:
        decoded: (B, C, H, W) float.
        original: (B, C, H, W) float.
        is_counted: (B, 1, H, W) bool, pixels that count; all where not given. Images without any are left out.

    Returns:
        "psnr": of the mean squared error over all pixels of all images; "psnr_mean": mean over the images of each
        one's ratio.

    Raises:
        ValueError: shapes that differ.
    """
    if decoded.shape != original.shape:
        raise ValueError(f"decoded {tuple(decoded.shape)}, expected {tuple(original.shape)} as the originals")
    error_BHW = (decoded.double() - original.double()).square().mean(dim=1)
    count_BHW = torch.ones_like(error_BHW) if is_counted is None else is_counted[:, 0].double()
    count_B = count_BHW.sum(dim=(1, 2))
    sum_B = (error_BHW * count_BHW).sum(dim=(1, 2))
    has_any_B = count_B > 0
    return {
        "psnr": float(_decibel(sum_B.sum() / count_B.sum())),
        "psnr_mean": float(_decibel(sum_B[has_any_B] / count_B[has_any_B]).mean()),
    }


def ssim(decoded: Tensor, original: Tensor) -> float:
    """Mean structural similarity (Wang et al., 2004; Gaussian window of 11) of images (B, C, H, W) in [0, 1]."""
    value = structural_similarity_index_measure(decoded.float(), original.float(), data_range=1.0)
    assert isinstance(value, Tensor)
    return float(value)


def _decibel(mean_squared_error: Tensor) -> Tensor:
    return -10 * mean_squared_error.clamp(min=_SMALLEST).log10()
