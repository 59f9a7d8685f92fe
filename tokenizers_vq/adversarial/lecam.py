"""A regulariser for discriminators trained on few media.

Tseng et al., "Regularizing Generative Adversarial Networks under Limited Data" (LeCam, 2021), equation 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from tokenizers_vq.contract import Described
from tokenizers_vq.quantizers.distributed import mean_over_ranks


class LeCam(Described, nn.Module):
    """Keeps logits of media near a moving average of those of reconstructions, and the other way round.

    Args:
        weight: of the loss; MAGVIT takes 0.001.
        decay: of the moving averages.

    Raises:
        ValueError: decay outside [0, 1).
    """

    mean_2: Tensor
    num_updates: Tensor

    def __init__(self, weight: float = 0.001, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay}: expected 0 <= decay < 1")
        self.weight, self.decay = weight, decay
        self.register_buffer("mean_2", torch.zeros(2))
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.int64))

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """Weighted scalar loss of logits of media and of reconstructions; the averages, over all ranks, move.

        The first batch sets the averages, which start at nothing.
        """
        with torch.no_grad():
            batch_2 = torch.stack([real.float().mean(), fake.float().mean()])
            batch_2 = mean_over_ranks(batch_2, torch.ones_like(batch_2))
            moved_2 = self.mean_2.lerp(batch_2, 1 - self.decay)
            self.mean_2.copy_(torch.where(self.num_updates == 0, batch_2, moved_2))
            self.num_updates += 1
        real_mean, fake_mean = self.mean_2.clone()
        return self.weight * (relu(real - fake_mean).square().mean() + relu(real_mean - fake).square().mean())
