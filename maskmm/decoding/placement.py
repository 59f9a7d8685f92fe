"""Where a model lives."""

from __future__ import annotations

import torch
from torch import nn

from maskmm.objectives.base import MaskedModel


def device_of(model: MaskedModel) -> torch.device:
    """Device of the model's first parameter; CPU for a model that has none."""
    if not isinstance(model, nn.Module):
        return torch.device("cpu")
    return next((p.device for p in model.parameters()), torch.device("cpu"))
