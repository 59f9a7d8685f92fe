"""Write a checkpoint folder so that it is either whole or refused."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from maskmm.checkpoint.manifest import (
    CONFIG_NAME,
    INCOMPLETE_NAME,
    Manifest,
    ModalityEntry,
    ModelEntry,
    check_folder_name,
    file_sha256,
)
from maskmm.model import MaskedTransformer
from maskmm.nn.int8 import is_quantized
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Tokenizer

_ENTRIES = ("models", "tokenizers", CONFIG_NAME)


def save_checkpoint(
    folder: Path | str,
    models: MaskedTransformer | Mapping[str, MaskedTransformer],
    tokenizers: Mapping[str, Tokenizer],
    generation_defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write `config.json`, `models/<name>/model.safetensors` and `tokenizers/<modality>/`.

    Everything is written to a temporary sibling first and then renamed. Where `folder` already holds a checkpoint,
    its three entries are replaced and other files in it stay; interrupted there, the folder is refused by
    `load_checkpoint` until it is saved again.

    Args:
        folder: where to.
        models: the main model, or name -> model with a "main"; all of one vocabulary.
        tokenizers: modality name -> tokenizer, one for each modality but the derived length labels.
        generation_defaults: target modality -> settings of `Pipeline.generate`, used where the caller gives none.

    Raises:
        ValueError: a modality without a tokenizer, a tokenizer whose spec is not the vocabulary's, models of
            different vocabularies, or a folder whose `models` or `tokenizers` belong to something else.
    """
    folder = Path(folder)
    named = dict(models) if isinstance(models, Mapping) else {"main": models}
    if "main" not in named:
        raise ValueError(f"models {sorted(named)} lack 'main'; name the model that generates 'main'")
    vocabulary = named["main"].vocabulary
    if any(model.vocabulary != vocabulary for model in named.values()):
        raise ValueError(
            f"models {sorted(named)} have different vocabularies; save them in folders of their own"
        )
    modalities = _modality_entries(vocabulary, tokenizers)
    _check_may_replace(folder)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        staged = Path(scratch) / "new"
        for name, tokenizer in tokenizers.items():
            tokenizer.save(staged / "tokenizers" / name)
        manifest = Manifest(
            modalities=modalities,
            num_mask_kinds=vocabulary.num_mask_kinds,
            aliases=vocabulary.aliases,
            has_cls=vocabulary.has_cls,
            models={name: _write_model(staged, name, model) for name, model in named.items()},
            generation={name: dict(values) for name, values in (generation_defaults or {}).items()},
        )
        (staged / CONFIG_NAME).write_text(manifest.to_json())
        _move_into_place(staged, folder, Path(scratch) / "old")


def _modality_entries(
    vocabulary: Vocabulary, tokenizers: Mapping[str, Tokenizer]
) -> tuple[ModalityEntry, ...]:
    foreign = [name for name in tokenizers if name not in vocabulary.names]
    if foreign:
        raise ValueError(f"tokenizers for {foreign}, but the model's modalities are {list(vocabulary.names)}")
    entries = []
    for modality in vocabulary.modalities:
        name = modality.name
        if name in tokenizers:
            spec = tokenizers[name].spec
            if spec != modality.spec:
                raise ValueError(
                    f"tokenizer {name!r} has {spec}, but the model was built for {modality.spec}"
                )
            entries.append(ModalityEntry(name, tokenizer=tokenizers[name].fingerprint()))
            continue
        source = name.removesuffix(".length")
        if source == name or source not in vocabulary.names:
            raise ValueError(f"modality {name!r} has no tokenizer; give one in tokenizers={{{name!r}: ...}}")
        entries.append(ModalityEntry(name, length_of=source))
    return tuple(entries)


def _write_model(staged: Path, name: str, model: MaskedTransformer) -> ModelEntry:
    if is_quantized(model):
        raise ValueError(
            f"model {name!r} was quantized to int8, and folders hold float weights; save it before, and load it with "
            "precision='int8'"
        )
    path = staged / "models" / check_folder_name(name, "model") / "model.safetensors"
    path.parent.mkdir(parents=True)
    # Cloned, as safetensors refuses tensors that share memory (tied heads).
    save_file({k: v.detach().cpu().clone().contiguous() for k, v in model.state_dict().items()}, path)
    class_path = f"{type(model).__module__}.{type(model).__qualname__}"
    return ModelEntry(class_path, model.config.to_dict(), file_sha256(path))


def _check_may_replace(folder: Path) -> None:
    """Refuse to replace `models` and `tokenizers` that are not a checkpoint's."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder")
    found = [name for name in _ENTRIES if (folder / name).exists()]
    if found == ["tokenizers"] and all((p / CONFIG_NAME).is_file() for p in (folder / found[0]).iterdir()):
        return  # the tokenizers that the model was trained with, put there before it
    if found and not (folder / INCOMPLETE_NAME).exists() and not _is_checkpoint(folder):
        raise ValueError(f"{folder} holds {found} but is no checkpoint; save to another folder")


def _is_checkpoint(folder: Path) -> bool:
    try:
        data = json.loads((folder / CONFIG_NAME).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(data, dict) and "format_version" in data and "models" in data


def _move_into_place(staged: Path, folder: Path, old: Path) -> None:
    if not folder.exists():
        staged.rename(folder)
        return
    marker = folder / INCOMPLETE_NAME
    marker.touch()
    old.mkdir()
    for name in _ENTRIES:
        if (folder / name).exists():
            shutil.move(folder / name, old / name)
        (staged / name).rename(folder / name)
    marker.unlink()
