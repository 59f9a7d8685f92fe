"""Dynamic int8 inference on CPUs: activations are quantized as they come, weights once.

One scale for a whole activation and one int8 part, as in torch.ao.quantization (which is deprecated), cost 5 % of a new
encoder's features and 30 % of a trained one's: docs/negative_results.md. Here every row has a scale, so that what is
beside it changes nothing, and numbers have a second int8 part where the error came from. torchao is not needed: it ends
in the same matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.projection import QueryValueBias

MIN_WIDTH = 32
"""Narrower linear layers stay in float: they cost nothing, and gates are sensitive."""
_ROWS = 128
_FINE = 254
"""Steps of a second part in one of the first."""
_TINY = torch.finfo(torch.float32).tiny


class Int8Linear(nn.Module):
    """A linear layer of int8 products.

    A row of the activation is scale * (coarse + fine / 254), with scale = max / 127; so is an output channel's row of
    weights, where has_fine_weight, else scale * coarse. The product of the two fine parts is left out.

    Args:
        linear: taken over; not changed.
        has_fine_weight: three products instead of two.
    """

    coarse: Tensor
    fine: Tensor | None
    scale: Tensor
    bias: Tensor | None

    def __init__(self, linear: nn.Linear, has_fine_weight: bool = False) -> None:
        super().__init__()
        weight_OI = linear.weight.detach().float()
        coarse_OI, fine_OI, scale_O1 = _two_parts(weight_OI)
        bias = linear.whole_bias() if isinstance(linear, QueryValueBias) else linear.bias
        self.register_buffer("coarse", coarse_OI)
        self.register_buffer("fine", fine_OI if has_fine_weight else None)
        self.register_buffer("scale", scale_O1[:, 0])
        self.register_buffer("bias", None if bias is None else bias.detach().float())

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., O) float32, without a gradient.

        Raises:
            ValueError: an input that is not on the CPU.
        """
        if x.device.type != "cpu":
            raise ValueError(
                f"int8 layers run on CPUs, given a {x.device.type} tensor; load without precision='int8'"
            )
        x_RI = x.reshape(-1, x.shape[-1]).float()
        y_RO = x_RI.new_empty(x_RI.shape[0], self.scale.shape[0])
        # Parts that stay in the cache between their few operations.
        for part_RI, out_RO in zip(x_RI.split(_ROWS), y_RO.split(_ROWS)):
            self._multiply(part_RI, out_RO)
        return y_RO.view(*x.shape[:-1], -1)

    def _multiply(self, x_RI: Tensor, out_RO: Tensor) -> None:
        coarse_RI, fine_RI, scale_R1 = _two_parts(x_RI)
        large_RO, small_RO = torch._int_mm(torch.cat([coarse_RI, fine_RI]), self.coarse.t()).chunk(2)
        if self.fine is not None:
            small_RO += torch._int_mm(coarse_RI, self.fine.t())
        steps_RO = small_RO.float().mul_(1 / _FINE).add_(large_RO.float())
        torch.mul(steps_RO.mul_(scale_R1), self.scale, out=out_RO)
        if self.bias is not None:
            out_RO.add_(self.bias)


def _two_parts(rows_RI: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Coarse and fine int8 (R, I), and the scale of each row (R, 1)."""
    scale_R1 = rows_RI.abs().amax(dim=1, keepdim=True).clamp(min=_TINY) / 127
    steps_RI = rows_RI / scale_R1
    coarse_RI = steps_RI.round()
    fine_RI = steps_RI.sub_(coarse_RI).mul_(_FINE).round_()
    return coarse_RI.to(torch.int8), fine_RI.to(torch.int8), scale_R1


def is_quantized(module: nn.Module) -> bool:
    """Whether any layer inside is int8."""
    return any(isinstance(part, Int8Linear) for part in module.modules())


def quantize(module: nn.Module) -> None:
    """Replace every linear layer inside, in place; narrow ones stay.

    What a branch adds to the stream ("out" of attention, "down" of the feed-forward) gets fine weights: its errors
    add up over the layers.
    """
    for name, child in module.named_children():
        if not isinstance(child, nn.Linear):
            quantize(child)
        elif min(child.in_features, child.out_features) >= MIN_WIDTH:
            setattr(module, name, Int8Linear(child, has_fine_weight=name in ("out", "down")))
