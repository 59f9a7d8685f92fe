"""Reads the transformer's fields as format 1 wrote them, before they were grouped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_GROUPED = ("attention", "ffn", "norm", "positions", "residual", "embedding", "head")
_MOVED = {
    "num_heads": ("attention", "num_heads"),
    "ffn_width": ("ffn", "width"),
    "rotary_base": ("positions", "rotary"),
    "dropout": ("residual", "dropout"),
    "norm_eps": ("norm", "eps"),
}


def from_flat_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Grouped fields from flat ones; fields that are grouped already are left as they are."""
    if any(name in data for name in _GROUPED):
        return dict(data)
    grouped: dict[str, Any] = {}
    for name, value in data.items():
        if name == "qk_norm":
            grouped.setdefault("attention", {})["qk_norm"] = "rms" if value else None
        elif name == "has_learned_positions":
            grouped.setdefault("positions", {})["learned"] = "axial" if value else None
        elif name in _MOVED:
            part, field = _MOVED[name]
            grouped.setdefault(part, {})[field] = value
        else:
            grouped[name] = value
    return grouped
