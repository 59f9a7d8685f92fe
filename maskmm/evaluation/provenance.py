"""Where figures come from: the command, the machine, the versions."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

PACKAGES = (
    "maskmm",
    "torch",
    "torchaudio",
    "lightning",
    "numpy",
    "scikit-learn",
    "scikit-image",
    "espeakng-loader",
    "pocketsphinx",
)


@dataclass(frozen=True)
class Provenance:
    """How to make a table of figures again.

    Attributes:
        command: the command line.
        hardware: processor, cores, memory, accelerator, system.
        packages: name -> version, "absent" where not installed.
    """

    command: str
    hardware: dict[str, str | int | float]
    packages: dict[str, str]

    @classmethod
    def here(cls, command: str | None = None) -> Provenance:
        """Of this process; its own command line where none is given."""
        words = [Path(sys.argv[0]).name, *sys.argv[1:]]
        return cls(shlex.join(words) if command is None else command, _hardware(), _packages())


def _hardware() -> dict[str, str | int | float]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, str | int | float] = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gb"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1)
    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    table = Path("/proc/cpuinfo")
    if table.exists():
        for line in table.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _packages() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions
