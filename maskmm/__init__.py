"""maskmm: one shared masked transformer over the tokens of any media.

Importing the package is cheap: torch is loaded only when a name below is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load": "maskmm.pipeline",
    "Pipeline": "maskmm.pipeline",
    "Edit": "maskmm.pipeline",
    "save_checkpoint": "maskmm.checkpoint",
    "FeatureExtractor": "maskmm.features",
    "MaskedTransformer": "maskmm.model",
    "ScalarMix": "maskmm.scalar_mix",
    "TransformerConfig": "maskmm.model",
    "Vocabulary": "maskmm.vocabulary",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'maskmm' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
