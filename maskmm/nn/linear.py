"""Linear layers by the faster of the two float32 matrix products that torch carries on CPUs.

torch multiplies with MKL, which leaves AVX-512 unused on processors of other makers than Intel. oneDNN, which torch
takes for convolutions, does not: on an AMD EPYC (Zen 5) it is 2.1 times as fast forward and 1.5 to 2.2 times backward.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIN_WEIGHTS = 1 << 14
"""Smaller matrices are multiplied as fast by either."""


class Linear(nn.Linear):
    """torch's, by the faster product; rows of (N, I) inputs do not change with what is beside them."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., I) -> (..., O)."""
        return linear(input, self.weight, self.bias)


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x weight^T + bias, differentiable.

    Args:
        x_NI: (N, I); rows of more dimensions, other dtypes than float32 and autocast take torch's own way.
        weight_OI: (O, I).
        bias_O: (O,).

    Returns:
        (N, O).
    """
    # The number of rows must not choose: by rounding, features would depend on what else is in the batch.
    if (
        x_NI.device.type != "cpu"
        or x_NI.ndim != 2
        or x_NI.dtype != torch.float32
        or weight_OI.dtype != torch.float32
        or weight_OI.numel() < MIN_WEIGHTS
        or torch.is_autocast_enabled("cpu")
        or not is_onednn_faster()
    ):
        return F.linear(x_NI, weight_OI, bias_O)
    x_NI, weight_OI = _without_gaps(x_NI), _without_gaps(weight_OI)
    if torch.compiler.is_compiling() or torch.is_grad_enabled():
        return linear_op(x_NI, weight_OI, bias_O)
    return _multiply(x_NI, weight_OI, bias_O)


def _without_gaps(matrix: Tensor) -> Tensor:
    """Transposed ones are read as they lie; gaps between rows would take oneDNN's reference kernels, far slower."""
    return matrix if matrix.t().is_contiguous() else matrix.contiguous()


@torch.compiler.assume_constant_result
def is_onednn_faster() -> bool:
    """Whether float32 products go through oneDNN: AMD processors with AVX-512, unless it is switched off in torch."""
    return bool(torch.backends.mkldnn.enabled) and _is_mkl_slow()


@cache
def _is_mkl_slow() -> bool:
    has_both = torch.backends.mkl.is_available() and _has_onednn_product()
    return has_both and torch.backends.cpu.get_cpu_capability() == "AVX512" and "AuthenticAMD" in _maker()


def _has_onednn_product() -> bool:
    """Whether this torch has the operator, which is not part of its public interface and may go."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _maker() -> str:
    """Text that names the processor's maker."""
    path = Path("/proc/cpuinfo")
    return path.read_text().partition("\n\n")[0] if path.exists() else platform.processor()


# One operator for eager and compiled models: Inductor's own lowering of oneDNN's would copy transposed matrices.
@torch.library.custom_op("maskmm::linear", mutates_args=())
def linear_op(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """(N, I) float32, (O, I), (O,) -> (N, O) by oneDNN."""
    return _multiply(x_NI, weight_OI, bias_O)


@linear_op.register_fake
def _(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    return x_NI.new_empty(x_NI.shape[0], weight_OI.shape[0])


def _multiply(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    if not x_NI.numel():
        return x_NI.new_zeros(x_NI.shape[0], weight_OI.shape[0])
    return torch.ops.mkldnn._linear_pointwise(x_NI, weight_OI, bias_O, "none", [], "")


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])


def _differentiate(ctx: Any, grad_NO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x_NI, weight_OI = ctx.saved_tensors
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad
    # Gradients of sums have strides of zero, which oneDNN does not read.
    grad_NO = grad_NO.contiguous()
    return (
        linear_op(grad_NO, weight_OI.t(), None) if needs_x else None,
        linear_op(grad_NO.t(), x_NI.t(), None) if needs_weight else None,
        grad_NO.sum(dim=0) if needs_bias else None,
    )


linear_op.register_autograd(_differentiate, setup_context=_save)
