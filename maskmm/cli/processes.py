"""How many training processes a machine is asked for."""

from __future__ import annotations

import torch

from maskmm.cli.threads import num_cores


def check_processes(devices: str | int | list[int], accelerator: str) -> None:
    """Raise ValueError where a CPU run asks for more processes than there are cores; Lightning would start them all."""
    is_gpu = accelerator not in ("cpu", "auto") or (accelerator == "auto" and torch.cuda.is_available())
    if is_gpu or not str(devices).isdecimal() or int(str(devices)) <= num_cores():
        return
    raise ValueError(
        f"trainer.devices={devices}: one process each on a CPU of {num_cores()} cores; use trainer.devices=1"
    )
