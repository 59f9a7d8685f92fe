"""Convolutional positions (Baevski et al., wav2vec 2.0, 2020; BEATs), inside each sample of a packed batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from maskmm.nn.layout import AttentionLayout


class ConvPositions(nn.Module):
    """GELU of a wide grouped convolution over the rows of each sample, weight-normed over its taps.

    Args:
        width: D.
        kernel: taps; an even kernel sees one row more before than after.
        groups: divisor of D.
    """

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel = kernel
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        nn.init.normal_(conv.weight, std=(4 / (kernel * width)) ** 0.5)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        self.conv = weight_norm(conv, dim=2)

    def forward(self, x_ND: Tensor, layout: AttentionLayout) -> Tensor:
        """(N, D) -> (N, D), what to add to the rows.

        Raises:
            ValueError: a layout with a cache.
        """
        if layout.cache is not None:
            raise ValueError(
                f"convolutional positions of kernel {self.kernel} with a key/value cache: a row's neighbours come at "
                "other steps; encode all rows"
            )
        if x_ND.device.type != "cpu" or torch.compiler.is_compiling():
            return self._with_gaps(x_ND, layout)
        return self._run_by_run(x_ND, layout)

    def _run_by_run(self, x_ND: Tensor, layout: AttentionLayout) -> Tensor:
        """Equally long samples at a time: no row in vain, but the lengths are read."""
        sizes = [run.count * run.length_q for run in layout.runs]
        outputs = []
        for run, rows in zip(layout.runs, x_ND.split(sizes)):
            x_BDL = rearrange(rows, "(b l) d -> b d l", b=run.count)
            out_BDL = F.gelu(self.conv(x_BDL)[..., : run.length_q])
            outputs.append(rearrange(out_BDL, "b d l -> (b l) d"))
        return torch.cat(outputs) if outputs else torch.zeros_like(x_ND)

    def _with_gaps(self, x_ND: Tensor, layout: AttentionLayout) -> Tensor:
        """One convolution over the whole pack, zeros between its samples: no length is read, and shapes stay."""
        gap, (num_rows, width) = self.kernel // 2, x_ND.shape
        rows = torch.arange(num_rows, device=x_ND.device)
        sample = torch.bucketize(rows, layout.cu_q[1:], right=True)
        place, num_places = rows + gap * sample, num_rows + gap * (layout.cu_q.shape[0] - 1)
        apart = x_ND.new_zeros(num_places, width).index_copy(0, place, x_ND)
        return F.gelu(self.conv(apart.T[None])[0].T[place])
