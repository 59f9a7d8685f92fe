"""Slow twins of the quantizers: one vector at a time, no moving parts."""

import torch
from torch import Tensor


def nearest_code(x_ND: Tensor, codebook_KD: Tensor) -> Tensor:
    """Index of the nearest code, one distance after the other, in float64."""
    out = []
    for x_D in x_ND.double():
        distances = [float((x_D - code_D).square().sum()) for code_D in codebook_KD.double()]
        out.append(distances.index(min(distances)))
    return torch.tensor(out)


def residual_codes(x_ND: Tensor, codebooks_QKD: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (N, Q) and summed vectors (N, D) of residual quantization."""
    codes, vectors = [], []
    for x_D in x_ND:
        rest_D, chosen = x_D.double(), []
        for codebook_KD in codebooks_QKD:
            chosen.append(int(nearest_code(rest_D[None], codebook_KD)[0]))
            rest_D = rest_D - codebook_KD[chosen[-1]].double()
        codes.append(chosen)
        vectors.append(x_D.double() - rest_D)
    return torch.tensor(codes), torch.stack(vectors)


class MovingAverageCodebook:
    """EMA codebook without revival: lists of floats, one code at a time."""

    def __init__(self, codebook_KD: Tensor, decay: float) -> None:
        self.decay = decay
        self.count = [1.0] * len(codebook_KD)
        self.sum = [code.double().clone() for code in codebook_KD]

    def step(self, x_ND: Tensor, is_valid_N: Tensor) -> Tensor:
        """Learn one batch; returns the new codebook (K, D)."""
        codes = nearest_code(x_ND, self.codebook())
        for k in range(len(self.count)):
            mine = [x.double() for x, c, v in zip(x_ND, codes, is_valid_N) if int(c) == k and bool(v)]
            total = sum(mine, torch.zeros_like(self.sum[k]))
            self.count[k] = self.decay * self.count[k] + (1 - self.decay) * len(mine)
            self.sum[k] = self.decay * self.sum[k] + (1 - self.decay) * total
        return self.codebook()

    def codebook(self) -> Tensor:
        return torch.stack([s / max(c, 1e-5) for s, c in zip(self.sum, self.count)])
