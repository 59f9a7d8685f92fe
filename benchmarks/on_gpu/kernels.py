"""Where the device's time goes: matrix products, attention, and everything else kernel by kernel."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.on_gpu.setting import Row, Setting

# Attention first: its kernels' template arguments name cutlass too.
_ATTENTION = re.compile(r"flash|fmha|attn|attention|sdpa", re.IGNORECASE)
_PRODUCT = re.compile(r"gemm|nvjet|cutlass|cublas|xmma|wgmma|splitk|triton_(tem|mm)", re.IGNORECASE)


def kernel_shares(
    setting: Setting, step: Callable[[], object], name: str, num_steps: int = 3
) -> Iterator[Row]:
    """Shares of the device's busy time in `num_steps` steps, and the largest kernels outside the two big groups."""
    if not setting.is_cuda:
        yield {"row": f"kernels, {name}", "skipped": "no GPU: there are no kernels to list"}
        return
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(num_steps):
            step()
        setting.wait()
    micros: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profiler.events():
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            micros[event.name] += event.time_range.elapsed_us()
            calls[event.name] += 1
    total = sum(micros.values()) or 1.0
    group = {kernel: _group(kernel) for kernel in micros}
    share = Counter[str]()
    for kernel, time in micros.items():
        share[group[kernel]] += time / total
    yield {
        "row": f"kernels, {name}",
        "busy_ms_per_step": round(total / num_steps / 1e3, 2),
        "share_products": round(share["product"], 4),
        "share_attention": round(share["attention"], 4),
        "share_outside": round(share["other"], 4),
    }
    for kernel, time in micros.most_common(36):
        yield {
            "row": f"kernel, {name}",
            "kernel": kernel[:120],
            "group": group[kernel],
            "share": round(time / total, 4),
            "ms_per_step": round(time / num_steps / 1e3, 3),
            "calls_per_step": round(calls[kernel] / num_steps, 1),
        }


def _group(kernel: str) -> str:
    if _ATTENTION.search(kernel):
        return "attention"
    return "product" if _PRODUCT.search(kernel) else "other"
