"""Which backend a call gets: the one asked for, or the first suitable one."""

from __future__ import annotations

import logging
from functools import cache

import torch

from maskmm.nn.backends.base import Backend, Call
from maskmm.nn.backends.blocks import BLOCKS, block_size
from maskmm.nn.backends.dense import DENSE
from maskmm.nn.backends.flash import FLASH
from maskmm.nn.backends.flex import FLEX
from maskmm.nn.backends.runs import RUNS
from maskmm.nn.backends.varlen import VARLEN

_log = logging.getLogger(__name__)

BACKENDS = {b.name: b for b in (VARLEN, FLASH, RUNS, BLOCKS, FLEX, DENSE)}


def choose(name: str, call: Call) -> Backend:
    """The backend of that name, or for "auto" the first of the ladder that can run the call; logged once.

    Raises:
        ValueError: an unknown name, or a backend that cannot run the call, with the reason.
    """
    if name == "auto":
        return _first(call)
    backend = BACKENDS.get(name)
    if backend is None:
        raise ValueError(f"attention backend {name!r}, expected one of {('auto', *BACKENDS)}")
    why_not = backend.obstacle(call)
    if why_not is not None:
        raise ValueError(f"attention backend {name!r} cannot run here: {why_not}; use 'auto'")
    return backend


def _first(call: Call) -> Backend:
    passed: list[str] = []
    for backend in _ladder(call):
        why_not = backend.obstacle(call)
        if why_not is None:
            _announce(backend.name, "; ".join(passed))
            return backend
        passed.append(f"{backend.name}: {why_not}")
    raise AssertionError("the last backend of a ladder runs everything")


def _ladder(call: Call) -> tuple[Backend, ...]:
    """Suitable backends, fastest first."""
    if call.has_bias:
        return (DENSE,)
    if call.layout.predicate is not None:
        # Compiling for one CPU forward costs more than the attention does.
        return (FLEX, DENSE) if call.device_type == "cuda" else (DENSE,)
    packed = (VARLEN, FLASH) if call.device_type == "cuda" else ()
    return (*packed, RUNS, BLOCKS, DENSE) if _is_band_smaller(call) else (*packed, RUNS, DENSE)


def _is_band_smaller(call: Call) -> bool:
    """Whether the blocked band has fewer pairs than all pairs of each sample (lengths that cannot be read: yes)."""
    layout = call.layout
    if layout.window is None or call.device_type == "cuda" or torch.compiler.is_compiling():
        return True
    pairs_of_samples = sum(run.count * run.length_q * run.length_k for run in layout.runs)
    num_rows = sum(run.count * run.length_q for run in layout.runs)
    return num_rows * (block_size(layout.window) + 2 * layout.window) < pairs_of_samples


@torch.compiler.assume_constant_result
def _announce(choice: str, passed: str) -> None:
    _announce_once(choice, passed)


@cache
def _announce_once(choice: str, passed: str) -> None:
    _log.info("attention backend: %s%s", choice, f" ({passed})" if passed else "")
