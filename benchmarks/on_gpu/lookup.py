"""Nearest code of a vector on the GPU."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.on_gpu.setting import Row, Setting, rounds_of
from tokenizers_vq.quantizers import nearest_code


def lookup(setting: Setting) -> Iterator[Row]:
    """8192 codes of 256 channels, float32 products as torch is set, and with TF32."""
    generator = torch.Generator(setting.device).manual_seed(0)
    rows = setting.pick(262144, 256)
    codes = torch.randn(setting.pick(8192, 64), 256, generator=generator, device=setting.device)
    x = torch.randn(rows, 256, generator=generator, device=setting.device)
    before = torch.get_float32_matmul_precision()
    exact = torch.cdist(x[:2048].double(), codes.double()).argmin(dim=1)
    for precision in ("highest", "high"):
        torch.set_float32_matmul_precision(precision)
        agreement = float((nearest_code(x[:2048], codes) == exact).double().mean())
        setting.seconds(lambda _: nearest_code(x, codes), 2)
        seconds = rounds_of(lambda: setting.seconds(lambda _: nearest_code(x, codes), 4), 5)[0]
        yield {
            "row": f"lookup, {len(codes)} x 256, matmul precision {precision!r}",
            "vectors_per_s": round(rows / seconds),
            "goal": 25e6,
            "agreement_with_float64": agreement,
        }
    torch.set_float32_matmul_precision(before)
