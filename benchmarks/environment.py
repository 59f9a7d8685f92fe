"""What a row must say about the machine and the software that gave it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from benchmarks.clock import Clock

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def environment(clock: Clock, packages: Iterable[str]) -> dict[str, str]:
    """Date, hardware, CPU flags that matter for speed, command, commit, versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    flags = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    load = Path("/proc/loadavg").read_text().split()[0]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": f"{model or platform.machine()}, {clock.threads} of {os.cpu_count()} cores",
        "load_at_start": load,
        "time": "wall, quiet gate" if clock.mode == "wall" else "CPU time of the process",
        "simd": torch.backends.cpu.get_cpu_capability(),
        "cpu_flags": " ".join(flag for flag in _FLAGS if flag in flags),
        "command": " ".join(["python -m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]]),
        "commit": git.stdout.strip() or "not told",
    } | {package: _version(package) for package in ("torch", *packages)}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
