"""Where a pipeline runs: a device that is not there is one clear error."""

from __future__ import annotations

import torch


def check_device(device: torch.device | str) -> torch.device:
    """The device of a name.

    Raises:
        ValueError: a name that torch does not know, or a device that this machine lacks.
    """
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        # AssertionError: what a torch built without CUDA says.
        raise ValueError(
            f"device {str(device)!r} does not work on this machine; expected cpu, cuda, cuda:1 ..., or leave it out "
            "for the CPU"
        ) from error
    return found
