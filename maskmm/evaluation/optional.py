"""Packages that only some users have: one clear error where one is missing."""

from __future__ import annotations

import importlib
from typing import Any

INSTALL_CORPORA = 'pip install "maskmm[corpora]"'


def require(module: str, purpose: str) -> Any:
    """Import a module of the extra `corpora`.

    Args:
        module: dotted name, e.g. "sklearn.svm".
        purpose: what needs it, for the message.

    Raises:
        ValueError: its package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{purpose} needs {module}, which is missing; install it: {INSTALL_CORPORA}"
        ) from error
