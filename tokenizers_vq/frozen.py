"""Networks that are used and never trained: teachers, and features for perceptual losses."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class Frozen(nn.Module):
    """Keeps a network in eval mode and without gradients of its own weights, and out of every state_dict.

    Checkpoints and tokenizer folders so stay small; the network is built again from its own file.

    Args:
        network: any module.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_pre_hook(_bring_along)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network makes of its arguments; gradients pass it to them."""
        return self.network(*args, **kwargs)

    def train(self, mode: bool = True) -> Frozen:
        """Stays in eval mode."""
        return super().train(False)


def _leave_out(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    for name in [name for name in state_dict if name.startswith(f"{prefix}network.")]:
        del state_dict[name]


def _bring_along(
    module: nn.Module, state_dict: dict[str, Tensor], prefix: str, metadata: Any, *lists: Any
) -> None:
    """What is loaded lacks the network's weights: they are taken as they are."""
    assert isinstance(module, Frozen)
    for name, value in module.network.state_dict().items():
        state_dict[f"{prefix}network.{name}"] = value
