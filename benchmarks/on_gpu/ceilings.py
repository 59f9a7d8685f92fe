"""What this GPU reaches at best: matrix products and copies, measured in the same run as everything else."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.on_gpu.setting import PEAK, Row, Setting


def ceilings(setting: Setting) -> Iterator[Row]:
    """bf16 products, square and in the encoder's shapes, and a copy of memory."""
    dtype = torch.bfloat16 if setting.is_cuda else torch.float32
    rows = setting.pick(65536, 256)
    shapes = [(setting.pick(8192, 64),) * 3, (rows, 768, 2304), (rows, 768, 4096), (rows, 2048, 768)]
    shapes += [(768, rows, 2304)]  # the gradient of a weight
    for m, k, n in shapes if not setting.is_tiny else shapes[:1]:
        a, b = (torch.randn(shape, device=setting.device, dtype=dtype) for shape in ((m, k), (k, n)))
        setting.seconds(lambda _, a=a, b=b: a @ b, 5)
        rate = 2.0 * m * k * n / setting.seconds(lambda _, a=a, b=b: a @ b, setting.pick(20, 2))
        yield {
            "row": f"ceiling, product {m} x {k} x {n}",
            "tflops": round(rate / 1e12, 1),
            "share_of_peak": round(rate / PEAK, 4),
        }
    source = torch.randn(setting.pick(2**30, 2**16), device=setting.device, dtype=dtype)
    target = torch.empty_like(source)
    seconds = setting.seconds(lambda _: target.copy_(source), 10)
    traffic = 2 * source.numel() * source.element_size()
    yield {"row": "ceiling, copy", "tb_per_s": round(traffic / seconds / 1e12, 3)}
