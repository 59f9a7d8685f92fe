"""Gumbel-softmax quantization of the discrete VAE.

Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax" (2016); Ramesh et al., "Zero-Shot
Text-to-Image Generation" (DALL-E, 2021), section 2.1 and appendix A.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tokenizers_vq.contract import Quantized
from tokenizers_vq.quantizers.base import Quantizer
from tokenizers_vq.quantizers.distributed import rank
from tokenizers_vq.quantizers.usage import CodeUsage


class GumbelQuantizer(Quantizer):
    """Latents -> logits over codes -> in training a relaxed sample, else the likeliest code.

    Args:
        codebook_size: number of codes K.
        dim: width of the latents.
        temperature: of the relaxation at the first step; it falls along a half cosine to `final_temperature`.
        final_temperature: at `anneal_steps` and after.
        anneal_steps: training steps of the fall; DALL-E took 150,000.
        kl_weight: weight of KL(q || uniform) in nats a position.
        seed: of the noise and of the start.

    Raises:
        ValueError: sizes below 1, temperatures of 0 or below, negative anneal_steps.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        temperature: float = 1.0,
        final_temperature: float = 1 / 16,
        anneal_steps: int = 10_000,
        kl_weight: float = 5e-4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if codebook_size < 1 or dim < 1:
            raise ValueError(f"codebook_size={codebook_size} and dim={dim} must be at least 1")
        if min(temperature, final_temperature) <= 0:
            raise ValueError(
                f"temperature={temperature}, final_temperature={final_temperature}: expected above 0"
            )
        if anneal_steps < 0:
            raise ValueError(f"anneal_steps={anneal_steps}: expected 0 or more")
        self.codebook_size, self.dim, self.num_codebooks = codebook_size, dim, 1
        self.temperatures, self.anneal_steps = (temperature, final_temperature), anneal_steps
        self.kl_weight, self.seed = kl_weight, seed
        generator = torch.Generator().manual_seed(seed)
        self.to_logits = nn.Linear(dim, codebook_size)
        nn.init.normal_(self.to_logits.weight, std=dim**-0.5, generator=generator)
        nn.init.zeros_(self.to_logits.bias)
        self.codebook_KD = nn.Parameter(torch.randn(codebook_size, dim, generator=generator))
        self.usage = CodeUsage(codebook_size)

    def encode(self, latents: Tensor) -> Tensor:
        """Likeliest codes (..., 1) int64 of latents (..., dim)."""
        self.check_latents(latents)
        with torch.no_grad():
            return self.to_logits(latents).argmax(dim=-1, keepdim=True)

    def decode(self, codes: Tensor) -> Tensor:
        """Code vectors (..., dim) of codes (..., 1)."""
        return nn.functional.embedding(codes[..., 0], self.codebook_KD)

    def forward(self, latents: Tensor, is_valid: Tensor | None = None) -> Quantized:
        """In training a soft mixture of codes, whose likeliest is reported. Metrics: usage, perplexity, dead."""
        self.check_latents(latents, is_valid)
        logits_NK = self.to_logits(latents.reshape(-1, self.dim)).float()
        weight_N = (
            logits_NK.new_ones(logits_NK.shape[0]) if is_valid is None else is_valid.reshape(-1).float()
        )
        log_q_NK = logits_NK.log_softmax(dim=1)
        kl_N = (log_q_NK.exp() * log_q_NK).sum(dim=1) + math.log(self.codebook_size)
        loss = self.kl_weight * (kl_N * weight_N).sum() / weight_N.sum().clamp(min=1)
        if self.training:
            noisy_NK = (logits_NK + self._noise(logits_NK)) / self.temperature()
            codes_N1 = noisy_NK.argmax(dim=1, keepdim=True)
            quantized_ND = noisy_NK.softmax(dim=1) @ self.codebook_KD
            self.usage.update(codes_N1, is_valid)
        else:
            codes_N1 = logits_NK.argmax(dim=1, keepdim=True)
            quantized_ND = self.decode(codes_N1)
        codes = codes_N1.reshape(*latents.shape[:-1], 1)
        quantized = quantized_ND.reshape(latents.shape).to(latents.dtype)
        return Quantized(quantized, codes, loss, self.usage.metrics())

    def temperature(self) -> float:
        """Of the relaxation at the present training step."""
        first, last = self.temperatures
        done = min(1.0, self.usage.step / self.anneal_steps) if self.anneal_steps else 1.0
        return last + (first - last) * (1 + math.cos(math.pi * done)) / 2

    def code_vectors(self) -> Tensor:
        """(1, codebook_size, dim), detached."""
        return self.codebook_KD.detach()[None]

    def _noise(self, like: Tensor) -> Tensor:
        """Standard Gumbel noise of this training step and rank, the same after a resume."""
        generator = torch.Generator(like.device)
        generator.manual_seed((self.seed * 1_000_003 + self.usage.step) * 4_099 + rank())
        # A draw of 0 would make the noise infinite.
        smallest = torch.finfo(like.dtype).tiny
        return -torch.empty_like(like).exponential_(generator=generator).clamp_(min=smallest).log()
