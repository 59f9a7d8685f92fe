"""Where the configs lie: maskmm/configs in an installed wheel, the top-level configs/ in a checkout."""

from __future__ import annotations

from pathlib import Path

import maskmm

PREFIX = "configs"


def config_root() -> Path:
    """Folder of the configs that came with this installation."""
    package = Path(maskmm.__file__).parent
    installed = package / PREFIX
    return installed if installed.is_dir() else package.parent / PREFIX


def find_config(name: str) -> str:
    """The file a config's name means.

    A file of that name in the working directory comes first, then `configs/...` of this installation.

    Raises:
        ValueError: neither exists.
    """
    if Path(name).is_file():
        return name
    path = Path(name)
    if path.parts[:1] == (PREFIX,):
        candidate = config_root().joinpath(*path.parts[1:])
        if candidate.is_file():
            return str(candidate)
    raise ValueError(
        f"config {name!r} does not exist in {Path.cwd()}, and is no configs/... file of this installation "
        f"({config_root()})"
    )
