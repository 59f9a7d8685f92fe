"""Offsets of packed samples: what they must be, and copies of them that the host can read."""

from __future__ import annotations

import torch
from torch import Tensor


def host_copies(cu_q: Tensor, cu_k: Tensor) -> tuple[Tensor, Tensor] | None:
    """Copies in the host's memory, made once for all layers of a graph, which drops them where no operator reads them.

    None in eager code, and where the offsets lie there already.
    """
    if not torch.compiler.is_compiling() or cu_q.device.type == "cpu":
        return None
    host_q = cu_q.cpu()
    return host_q, host_q if cu_k is cu_q else cu_k.cpu()


def check_offsets(name: str, offsets: Tensor) -> None:
    """Raise ValueError for what are no (B + 1,) offsets; their values are read on the CPU alone."""
    is_read = offsets.device.type == "cpu" and not torch.compiler.is_compiling()
    is_list = offsets.ndim == 1 and offsets.shape[0] > 0 and not offsets.is_floating_point()
    if not is_list or (is_read and (int(offsets[0]) != 0 or bool((offsets.diff() < 0).any()))):
        raise ValueError(
            f"{name} of shape {tuple(offsets.shape)} and dtype {offsets.dtype}{_first(offsets) if is_read else ''}, "
            "expected (B + 1,) whole numbers that begin at 0 and never fall, the ends of the samples: "
            "F.pad(lengths.cumsum(0), (1, 0))"
        )


def _first(offsets: Tensor) -> str:
    values = offsets.flatten()[:5].tolist()
    return f" ({', '.join(map(str, values))}{', ...' if offsets.numel() > 5 else ''})"


def check_ends(cu_q: Tensor, cu_k: Tensor, num_q: int, num_k: int) -> None:
    """Raise ValueError unless offsets end at these numbers of rows; on CUDA it is an assertion of the device."""
    if cu_q.device.type != "cpu":
        is_whole = (cu_q[-1] == num_q) & (cu_k[-1] == num_k)
        torch._assert_async(
            is_whole, "the layout does not cover the rows; give those that fill up a pack a sample"
        )
    elif (int(cu_q[-1]), int(cu_k[-1])) != (num_q, num_k):
        raise ValueError(
            f"the layout covers {int(cu_q[-1])} query and {int(cu_k[-1])} key rows, given {num_q} and {num_k}; rows "
            "that fill up a pack need a sample of their own"
        )


def check_bound(offsets: Tensor, bound: int) -> None:
    """Raise ValueError for a sample of more rows than the bound (on CUDA and in graphs an assertion of the device).

    Kernels that are told too small a bound leave rows out without a word.
    """
    lengths = offsets.diff()
    if offsets.device.type != "cpu" or torch.compiler.is_compiling():
        torch._assert_async((lengths <= bound).all(), f"a sample has more than {bound} rows")
    elif lengths.numel() and int(lengths.max()) > bound:
        raise ValueError(
            f"a sample has {int(lengths.max())} rows, expected at most {bound} (max_length of the transformer, or the "
            "size of its position table less the offset); cut samples, or build the model for longer ones (a token "
            "budget fills packs up with samples of its own: give it longest)"
        )
