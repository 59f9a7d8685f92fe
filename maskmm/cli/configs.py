"""Where the configs lie: maskmm/configs in an installed wheel, the top-level configs/ in a checkout."""

from __future__ import annotations

from pathlib import Path

import yaml

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
        ValueError: neither exists, or the file is no YAML mapping.
    """
    if Path(name).is_file():
        _check_mapping(Path(name))
        return name
    if Path(name).is_dir():
        raise ValueError(f"config {name!r} is a folder; give a .yaml file")
    path = Path(name)
    if path.parts[:1] == (PREFIX,):
        candidate = config_root().joinpath(*path.parts[1:])
        if candidate.is_file():
            return str(candidate)
    raise ValueError(
        f"config {name!r} does not exist in {Path.cwd()}, and is no configs/... file of this installation "
        f"({config_root()})"
    )


def _check_mapping(path: Path) -> None:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"config {path} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"config {path} is {content!r:.60}, expected keys such as model, data and trainer")
