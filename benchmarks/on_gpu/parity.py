"""Packed half-precision attention and the whole encoder against float32, with the lengths that broke kernels."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.work import text_sequence, text_vocabulary
from maskmm.nn.attention import attend
from maskmm.nn.layout import AttentionLayout

CASES = {
    "mixed": [1, 64, 128, 129, 300, 7],
    "lengths that are 64 mod 128": [192, 320, 64, 448],
    "empty samples": [100, 0, 0, 28],
    "full": [512, 512],
    "one long sample": [2048],
}


def parity(setting: Setting) -> Iterator[Row]:
    """Relative errors of outputs and gradients."""
    for name, lengths in list(CASES.items())[: setting.pick(len(CASES), 2)]:
        for is_view in (False, True):
            kind = "views" if is_view else "contiguous"
            yield attention_row(setting, f"parity of attention, {name}, {kind}", lengths, is_view)
    for longest in (512, 2048) if not setting.is_tiny else (64,):
        errors = _model_errors(setting, longest)
        assert max(errors.values()) < 5e-2, f"model at {longest}: {errors}"
        yield {"row": f"parity of the encoder, bf16 packed against fp32, T<={longest}", **errors}


def attention_row(setting: Setting, name: str, lengths: list[int], is_view: bool = True) -> Row:
    """Packed attention of bf16 operands, which leave 1e-3 to 1e-2, against float32 sample by sample.

    Args:
        setting: of the run.
        name: of the row.
        lengths: rows of each sample.
        is_view: queries, keys and values are views of one tensor, as a fused projection gives them.

    Raises:
        AssertionError: an error of 2 % of the norm or more.
    """
    errors = attention_errors(setting, lengths, is_view)
    assert max(errors.values()) < 2e-2, f"{name}: {errors}"
    return {"row": name, **errors}


def attention_errors(setting: Setting, lengths: list[int], is_view: bool) -> dict[str, float]:
    """Relative errors of the output and of the gradients, see `attention_row`."""
    dtype = torch.bfloat16 if setting.is_cuda else torch.float32
    generator = torch.Generator(setting.device).manual_seed(0)
    offsets = torch.tensor([0, *lengths], device=setting.device).cumsum(0)
    shape = (sum(lengths), 36 if is_view else 12, 64)
    # Half precision before the views are taken: a cast of a view makes it contiguous.
    wide = torch.randn(shape, generator=generator, device=setting.device).to(dtype)
    tensors = [wide[:, 12 * i : 12 * i + 12] if is_view else wide * (0.5 + 0.25 * i) for i in range(3)]
    upstream = torch.randn(shape[0], 12, 64, generator=generator, device=setting.device)

    def run(as_type: torch.dtype, backend: str) -> list[Tensor]:
        layout = AttentionLayout.build(offsets, max_length=max(lengths))
        leaves = [t.to(as_type).detach().requires_grad_() for t in tensors]
        assert as_type != dtype or is_view != leaves[0].is_contiguous()
        out = attend(*leaves, layout, backend=backend)
        out.backward(upstream.to(as_type))
        return [out.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    fast = run(dtype, "varlen" if setting.is_cuda else "auto")
    exact = run(torch.float32, "runs")
    return {
        name: float((a.float() - b).norm() / b.norm())
        for name, a, b in zip(("out", "grad_q", "grad_k", "grad_v"), fast, exact)
    }


def _model_errors(setting: Setting, longest: int) -> dict[str, float]:
    """Features and the gradient of the first layer's weights, eager."""
    vocabulary = text_vocabulary(setting.pick(8192, 64), longest)
    model = setting.base_model(vocabulary, longest)
    lengths = [longest, longest // 2 + 64, 192, 64, 1, longest - 64]
    sequence = text_sequence([min(max(n, 1), longest) for n in lengths], vocabulary).to(setting.device)
    found: list[list[Tensor]] = []
    for context in (setting.autocast(), torch.autocast(setting.device.type, enabled=False)):
        with context:
            features = model.forward_features(sequence)
        features.float().sin().sum().backward()
        gradients = [p.grad for p in model.blocks[0].parameters() if p.grad is not None and p.ndim == 2]
        found.append([features.detach(), *gradients])
        model.zero_grad(set_to_none=True)
    names = ("features", *(f"grad_{index}" for index in range(len(found[0]) - 1)))
    return {name: float((a - b).norm() / b.norm()) for name, a, b in zip(names, *found)}
