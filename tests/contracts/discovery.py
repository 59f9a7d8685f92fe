"""Finds every class of our packages that a contract suite must have an example of."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

PACKAGES = ("maskmm", "tokenizers_vq", "datamodules")


def classes() -> Iterator[type]:
    """Every class that a module of our packages defines."""
    for package in PACKAGES:
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            for _, member in inspect.getmembers(importlib.import_module(info.name), inspect.isclass):
                if member.__module__ == info.name:
                    yield member


def subclasses(base: type) -> set[type]:
    """Every concrete class derived from `base`, at any depth."""
    return {c for c in classes() if issubclass(c, base) and not inspect.isabstract(c)}


def callables_like(protocol: type) -> set[type]:
    """Every class whose `__call__` has the very signature of the protocol's."""
    wanted = inspect.signature(protocol.__call__)
    return {c for c in classes() if c is not protocol and inspect.signature(c.__call__) == wanted}
