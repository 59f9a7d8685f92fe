"""`config.json` of a checkpoint folder: what is in it, and who may read it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from maskmm.vocabulary import Vocabulary, length_modality
from tokenizers_vq.contract import Modality, TokenSpec

FORMAT_VERSION = 1
CONFIG_NAME = "config.json"
INCOMPLETE_NAME = ".incomplete"
"""Lies in a folder while `save_checkpoint` replaces an older checkpoint in it."""

_PACKAGES = ("maskmm", "torch", "lightning", "safetensors", "tokenizers")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of the packages that decide what a checkpoint means."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


def check_folder_name(name: str, what: str) -> str:
    """Raise ValueError unless `name` is a plain name that can be a folder of its own."""
    if not name.strip(".") or not all(c.isalnum() or c in "_-." for c in name):
        raise ValueError(f"{what} name {name!r}: use letters, digits, '_', '-' and '.'")
    return name


@dataclass(frozen=True)
class ModalityEntry:
    """One modality of the vocabulary: either it has a tokenizer, or it is the length label of another one.

    Attributes:
        name: modality name.
        tokenizer: fingerprint (SHA-256) of its tokenizer, None for a length label.
        length_of: the modality whose length it says, None where it has a tokenizer.
    """

    name: str
    tokenizer: str | None = None
    length_of: str | None = None

    def __post_init__(self) -> None:
        check_folder_name(self.name, "modality")
        if (self.tokenizer is None) == (self.length_of is None):
            raise ValueError(f"modality {self.name!r} needs either a tokenizer's hash or length_of, not both")


@dataclass(frozen=True)
class ModelEntry:
    """One model of a checkpoint.

    Attributes:
        class_path: its class.
        config: the architecture, JSON-ready.
        sha256: of its model.safetensors.
    """

    class_path: str
    config: dict[str, Any]
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The contents of `config.json`.

    Attributes:
        modalities: in vocabulary order.
        num_mask_kinds, aliases, has_cls: of the vocabulary.
        models: name ("main", "residual", "critic" ...) -> entry.
        generation: target modality -> settings that `generate` uses where the caller gives none.
        packages: versions that wrote the folder.
    """

    modalities: tuple[ModalityEntry, ...]
    num_mask_kinds: int
    aliases: dict[str, tuple[str, int]]
    models: dict[str, ModelEntry]
    generation: dict[str, dict[str, Any]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=package_versions)
    has_cls: bool = True

    def __post_init__(self) -> None:
        for name in self.models:
            check_folder_name(name, "model")
        names = {entry.name for entry in self.modalities}
        unknown = [name for name in self.generation if name not in names]
        if unknown:
            raise ValueError(f"generation defaults for {unknown}, expected modalities among {sorted(names)}")

    def to_json(self) -> str:
        """Text of `config.json`."""
        data = {"format_version": FORMAT_VERSION, **asdict(self)}
        data["modalities"] = [
            {k: v for k, v in asdict(entry).items() if v is not None} for entry in self.modalities
        ]
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read a folder's `config.json`.

        Raises:
            ValueError: the folder is half-written or no checkpoint, the file is damaged, or it has another format
                version.
        """
        path = folder / CONFIG_NAME
        if (folder / INCOMPLETE_NAME).exists():
            raise ValueError(
                f"{folder} is half-written: saving to it was interrupted; save the checkpoint again"
            )
        if not path.is_file():
            raise ValueError(f"{path} does not exist: {folder} {_what_else(folder)}")
        try:
            data = json.loads(path.read_text())
            if "class_path" in data:
                raise ValueError(f"{folder} holds a tokenizer; give the folder of a whole checkpoint")
            version, packages = data.pop("format_version"), data["packages"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged or not the config.json of a checkpoint ({error!r}); copy the folder again"
            ) from error
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{path} has format_version {version}, maskmm {metadata.version('maskmm')} reads {FORMAT_VERSION}; "
                f"it was written by maskmm {packages.get('maskmm', '(not named)')}, which can read it: "
                f'pip install "maskmm=={packages.get("maskmm", "VERSION")}"'
            )
        try:
            data["modalities"] = tuple(ModalityEntry(**entry) for entry in data["modalities"])
            data["models"] = {name: ModelEntry(**entry) for name, entry in data["models"].items()}
            data["aliases"] = {name: (target[0], target[1]) for name, target in data["aliases"].items()}
            return cls(**data)
        except (KeyError, AttributeError, TypeError, IndexError) as error:
            raise ValueError(
                f"{path} is damaged or not the config.json of a checkpoint ({error!r}); copy the folder again"
            ) from error

    def vocabulary(self, specs: Mapping[str, TokenSpec]) -> Vocabulary:
        """The vocabulary, built from the tokenizers' own specs.

        Args:
            specs: modality name -> spec, for every modality that has a tokenizer.

        Raises:
            ValueError: a length label of a modality that does not come before it.
        """
        modalities: dict[str, Modality] = {}
        for entry in self.modalities:
            if entry.length_of is None:
                modalities[entry.name] = Modality(entry.name, specs[entry.name])
                continue
            if entry.length_of not in modalities:
                raise ValueError(
                    f"{entry.name!r} is the length of {entry.length_of!r}, which must come before it"
                )
            modalities[entry.name] = length_modality(modalities[entry.length_of])
        return Vocabulary(list(modalities.values()), self.num_mask_kinds, self.aliases, self.has_cls)


def _what_else(folder: Path) -> str:
    """What a folder without config.json is, and what to do about it."""
    inner, run = folder / "model", folder / "checkpoints"
    if (inner / CONFIG_NAME).is_file():
        return f"holds a checkpoint in {inner}; give that"
    if run.is_dir():
        return f"is the run of a fit; make a checkpoint of it: maskmm export {run}/last.ckpt --out DIR"
    return "is no checkpoint, or half-copied; copy it again"
