"""Slow twins of the quantizers: one vector at a time, no moving parts."""

import math

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


def fsq_digits(x_D: Tensor, levels: tuple[int, ...]) -> list[int]:
    """Level of each channel: the nearest whole number to the squashed value, in float64, counted from 0."""
    digits = []
    for x, size in zip(x_D.tolist(), levels):
        half, offset = (size - 1) * 1.001 / 2, 0.5 if size % 2 == 0 else 0.0
        squashed = math.tanh(x + math.atanh(offset / half)) * half - offset
        digits.append(round(squashed) + size // 2)
    return digits


def corner_entropies(x_NB: Tensor, scale: float, inverse_temperature: float) -> tuple[Tensor, Tensor]:
    """Mean entropy of the codes, and entropy of the mean code, by a softmax over all 2^B corners."""
    num_bits = x_NB.shape[1]
    corners = [[scale if code >> b & 1 else -scale for b in range(num_bits)] for code in range(1 << num_bits)]
    corners_KB = torch.tensor(corners, dtype=torch.float64)
    p_NK = (2 * inverse_temperature * x_NB.double() @ corners_KB.t()).softmax(dim=1)
    mean_K = p_NK.mean(dim=0)
    return torch.special.entr(p_NK).sum(dim=1).mean(), torch.special.entr(mean_K).sum()


def soft_entropies(x_ND: Tensor, codebook_KD: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Mean entropy, and entropy of the mean, of a softmax over negative squared distances."""
    distance_NK = (x_ND.double()[:, None] - codebook_KD.double()).square().sum(dim=2)
    p_NK = (-distance_NK / temperature).softmax(dim=1)
    return torch.special.entr(p_NK).sum(dim=1).mean(), torch.special.entr(p_NK.mean(dim=0)).sum()


def cosine_step(codebook_KD: Tensor, x_ND: Tensor, is_valid_N: Tensor, decay: float) -> Tensor:
    """One update of a cosine codebook, code by code."""
    unit_ND = x_ND.double() / x_ND.double().norm(dim=1, keepdim=True)
    codes = [int((codebook_KD.double() @ unit_D).argmax()) for unit_D in unit_ND]
    out = []
    for k, code_D in enumerate(codebook_KD.double()):
        mine = [unit_D for unit_D, c, v in zip(unit_ND, codes, is_valid_N) if c == k and bool(v)]
        if mine:
            mean_D = torch.stack(mine).sum(dim=0)
            code_D = decay * code_D + (1 - decay) * mean_D / mean_D.norm()
            code_D = code_D / code_D.norm()
        out.append(code_D)
    return torch.stack(out)
