"""Models of other packages, loaded whole or not at all."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any


def public_class(package: str, name: str) -> Any:
    """A class of an optional package.

    Raises:
        ValueError: the package is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(
            f'{name} needs the package {package}, expected it installed: pip install "maskmm[peers]"'
        )
    return getattr(importlib.import_module(package), name)


def load_public(package: str, name: str, source: Path | str, **options: Any) -> Any:
    """A pretrained model in float32, on the CPU.

    Args:
        package, name: where its class is.
        source: folder, or id of a repository on the Hugging Face hub.
        options: of its `from_pretrained`.

    Raises:
        ValueError: no such model, or weights that are missing or are of another model.
    """
    try:
        found = public_class(package, name).from_pretrained(str(source), output_loading_info=True, **options)
    except OSError as error:
        raise ValueError(f"{source} cannot be read as a {name} of {package}: {error}") from error
    model, report = found
    wrong = {
        what: sorted(map(str, report[what]))
        for what in ("missing_keys", "mismatched_keys", "unexpected_keys")
        if report.get(what)
    }
    if wrong:
        raise ValueError(
            f"{source} does not hold the weights of a {name}, expected all of them and no others: {wrong}"
        )
    return model.float()


def plain_config(config: Any) -> dict[str, Any]:
    """The configuration of a transformers model as plain values."""
    return dict(json.loads(config.to_json_string(use_diff=False)))
