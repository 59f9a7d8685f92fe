"""Read a checkpoint folder: every mismatch is an error that names both sides."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from maskmm.checkpoint.manifest import CONFIG_NAME, Manifest, ModelEntry, file_sha256
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.draws import FORMER_COUNTERS
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Tokenizer, load_tokenizer
from tokenizers_vq.contract.described import find_class
from tokenizers_vq.contract.tokenizer import read_spec

_log = logging.getLogger(__name__)
_MOST_PROBLEMS = 4
"""Named in an error; where a width is wrong, every weight is."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded folder.

    Attributes:
        models: name -> model in eval mode, on the CPU; "main" is always there.
        tokenizers: modality name -> tokenizer in eval mode.
        vocabulary: of all models.
        generation: target modality -> default settings of `generate`.
        sha256: of config.json, which itself holds the hash of every weight and tokenizer.
    """

    models: dict[str, MaskedTransformer]
    tokenizers: dict[str, Tokenizer]
    vocabulary: Vocabulary
    generation: dict[str, dict[str, Any]]
    sha256: str


def load_checkpoint(
    folder: Path | str, tokenizers: Mapping[str, Tokenizer] | None = None, allow: Iterable[type] = ()
) -> Checkpoint:
    """Load a folder written by `save_checkpoint`.

    Args:
        folder: a local folder.
        tokenizers: modality name -> tokenizer to use in place of the folder's own, e.g. with a better decoder. Its
            spec must be the same; that its weights are others is logged.
        allow: further tokenizer and model classes that the folder may name.

    Raises:
        ValueError: a half-written folder, another format version, a foreign class, a tokenizer that is not the one
            the model was trained with, or weights that are missing, extra, misshapen or damaged.
    """
    folder, allow = Path(folder), tuple(allow)
    manifest = Manifest.read(folder)
    given = dict(tokenizers or {})
    expected = {entry.name: entry.tokenizer for entry in manifest.modalities if entry.tokenizer is not None}
    foreign = [name for name in given if name not in expected]
    if foreign:
        raise ValueError(f"tokenizers for {foreign}, but the modalities of {folder} are {list(expected)}")
    loaded = {
        name: _own_tokenizer(folder, name, sha256, given[name])
        if name in given
        else _tokenizer(folder, name, sha256, allow)
        for name, sha256 in expected.items()
    }
    vocabulary = manifest.vocabulary({name: tokenizer.spec for name, tokenizer in loaded.items()})
    if "main" not in manifest.models:
        raise ValueError(f"{folder / CONFIG_NAME} lists models {sorted(manifest.models)}, expected a 'main'")
    return Checkpoint(
        models={n: _model(folder, n, entry, vocabulary, allow) for n, entry in manifest.models.items()},
        tokenizers=loaded,
        vocabulary=vocabulary,
        generation=manifest.generation,
        sha256=file_sha256(folder / CONFIG_NAME),
    )


def _tokenizer(folder: Path, name: str, sha256: str, allow: tuple[type, ...]) -> Tokenizer:
    path = folder / "tokenizers" / name
    try:
        tokenizer = load_tokenizer(path, allow)
    except ValueError as error:
        raise ValueError(f"tokenizer {name!r} of {folder}: {error}") from error
    except (SafetensorError, RuntimeError, TypeError, OSError) as error:
        raise ValueError(
            f"tokenizer {path} is damaged or of another version: {error}; copy the folder again"
        ) from error
    found = tokenizer.fingerprint()
    if found != sha256:
        raise ValueError(
            f"tokenizer {path} has fingerprint {found}, but the model was trained with {sha256}; its codes would mean "
            "something else. Put the right tokenizer back"
        )
    return tokenizer


def _own_tokenizer(folder: Path, name: str, sha256: str, tokenizer: Tokenizer) -> Tokenizer:
    path = folder / "tokenizers" / name / CONFIG_NAME
    if path.is_file():
        spec = read_spec(path.parent)
        if spec != tokenizer.spec:
            raise ValueError(f"the given tokenizer {name!r} has {tokenizer.spec}, expected {spec}")
    found = tokenizer.fingerprint()
    if found != sha256:
        _log.warning("tokenizer %r has fingerprint %s, the model was trained with %s", name, found, sha256)
    return tokenizer.eval()


def _model(
    folder: Path, name: str, entry: ModelEntry, vocabulary: Vocabulary, allow: tuple[type, ...]
) -> MaskedTransformer:
    cls = find_class(entry.class_path, MaskedTransformer, allow)
    if not issubclass(cls, MaskedTransformer):
        raise ValueError(f"{folder / CONFIG_NAME} names {entry.class_path}, expected a MaskedTransformer")
    try:
        model = cls(vocabulary, TransformerConfig.from_dict(entry.config))
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{folder / CONFIG_NAME}, config of model {name!r}: {error}; copy the folder again"
        ) from error
    path = folder / "models" / name / "model.safetensors"
    if not path.is_file():
        raise ValueError(f"{path} does not exist: the folder is half-copied; copy it again")
    try:
        weights = {key: v for key, v in load_file(path).items() if key not in FORMER_COUNTERS}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is truncated or no safetensors file: {error}; copy it again") from error
    wanted = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    found = {key: tuple(value.shape) for key, value in weights.items()}
    problems = [f"missing {key}" for key in sorted(wanted.keys() - found.keys())]
    problems += [f"extra {key}" for key in sorted(found.keys() - wanted.keys())]
    problems += [
        f"{key} of shape {found[key]}, expected {wanted[key]}"
        for key in sorted(wanted.keys() & found.keys())
        if wanted[key] != found[key]
    ]
    if problems:
        more = f"; and {len(problems) - _MOST_PROBLEMS} more" if len(problems) > _MOST_PROBLEMS else ""
        raise ValueError(
            f"{path} does not fit the model of {CONFIG_NAME}: {'; '.join(problems[:_MOST_PROBLEMS])}{more}; copy the "
            "folder again"
        )
    sha256 = file_sha256(path)
    if sha256 != entry.sha256:
        raise ValueError(
            f"{path} has SHA-256 {sha256}, {CONFIG_NAME} says {entry.sha256}: changed or damaged; copy the folder "
            "again, or save changed weights with save_checkpoint"
        )
    model.load_state_dict(weights)
    return model.eval()
