"""Lightning's .ckpt files to folders that describe themselves; read as plain tensors, nothing is unpickled."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor, nn

from maskmm.checkpoint import save_checkpoint
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Tokenizer, load_tokenizer
from tokenizers_vq.contract.described import find_class, rebuild
from tokenizers_vq.contract.tensor_files import read_tensors

_log = logging.getLogger(__name__)


def read_lightning(path: Path | str) -> dict[str, Any]:
    """The contents of a .ckpt file, on the CPU.

    Raises:
        ValueError: no such file, or one that is truncated or holds more than tensors and plain values.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder, expected a .ckpt file written by `maskmm fit`; a checkpoint folder goes to "
            "transformers with --format bert or modernbert"
        )
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a .ckpt file written by `maskmm fit`")
    # torch's files are zip archives, whose table of contents is at the end; anything else it would try to unpickle.
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is truncated or no checkpoint; copy it again, or give a .ckpt file written by `maskmm fit`"
        )
    checkpoint = read_tensors(path)
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"{path} has no state_dict, expected a .ckpt file written by `maskmm fit`")
    return checkpoint


def export_lightning(
    path: Path | str,
    folder: Path | str,
    tokenizers: Mapping[str, Tokenizer | Path | str] | None = None,
    generation_defaults: Mapping[str, Mapping[str, Any]] | None = None,
    allow: Iterable[type] = (),
) -> None:
    """Write the checkpoint folder of a trained MaskedModule; averaged weights (EMA) where the file has them.

    Args:
        path: the .ckpt file.
        folder: see `save_checkpoint`.
        tokenizers: modality -> tokenizer or its folder; the folders that the run was trained with where not given.
        generation_defaults: see `save_checkpoint`.
        allow: further tokenizer classes that those folders may name.

    Raises:
        ValueError: a file of another kind, weights that do not fit, or tokenizers that are missing or do not fit.
    """
    checkpoint = read_lightning(path)
    if "maskmm" not in checkpoint:
        raise ValueError(
            f"{path} holds no masked model (no entry 'maskmm'); was it written by another module?"
        )
    told = checkpoint["maskmm"]
    vocabulary = Vocabulary.from_dict(told["vocabulary"])
    model = MaskedTransformer(vocabulary, TransformerConfig.from_dict(told["transformer"]))
    _load_part(model, trained_weights(checkpoint), "model.", path)
    sources = {**told["tokenizers"], **(tokenizers or {})}
    loaded = {name: _tokenizer(name, source, allow) for name, source in sources.items()}
    _check_fingerprints(path, told.get("fingerprints", {}), loaded, given=tokenizers or {})
    save_checkpoint(folder, model, loaded, generation_defaults)


def _check_fingerprints(
    path: Path | str, trained: Mapping[str, str], loaded: Mapping[str, Tokenizer], given: Mapping[str, object]
) -> None:
    """Refuse a folder whose tokenizer was trained anew since; one given by the caller is meant, and logged."""
    for name, fingerprint in trained.items():
        found = loaded[name].fingerprint()
        if found == fingerprint:
            continue
        message = (
            f"{path} was trained on codes of the {name!r} tokenizer {fingerprint[:12]}, but the folder now holds "
            f"{found[:12]}"
        )
        if name not in given:
            raise ValueError(f"{message}; name the folder of the right one (tokenizers={{{name!r}: FOLDER}})")
        _log.warning("%s, which was asked for", message)


def export_tokenizer(
    path: Path | str, folder: Path | str, config: Path | str | None = None, allow: Iterable[type] = ()
) -> None:
    """Write the folder of a tokenizer trained by `maskmm fit`.

    Args:
        path: the .ckpt file, RUN/checkpoints/NAME.ckpt.
        folder: must be new or empty.
        config: the run's config.yaml, which says the tokenizer's class and arguments; RUN/config.yaml where not given.
        allow: further classes that it may name.

    Raises:
        ValueError: a file of another kind, no such config, a foreign class, or weights that do not fit.
    """
    path, folder = Path(path), Path(folder)
    config = path.parent.parent / "config.yaml" if config is None else Path(config)
    if not config.is_file():
        raise ValueError(f"{config} does not exist; it says what the tokenizer is: give it with --config")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; export to a new folder")
    try:
        told = yaml.safe_load(config.read_text())["model"]["init_args"]["tokenizer"]
        class_path, init_args = told["class_path"], told.get("init_args", {})
    except yaml.YAMLError as error:
        raise ValueError(f"{config} is no YAML: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{config} names no tokenizer under model.init_args.tokenizer ({error!r}); give the config of a "
            "tokenizer's run"
        ) from error
    found: Any = find_class(class_path, Tokenizer, allow)
    needed = {name: value for name, value in init_args.items() if name not in found.training_only}
    tokenizer = found(**rebuild(needed, allow))
    _load_part(tokenizer, trained_weights(read_lightning(path)), "tokenizer.", path)
    partial = folder.with_name(f".{folder.name}.partial")
    tokenizer.save(partial)
    if folder.exists():
        folder.rmdir()
    partial.rename(folder)


def trained_weights(checkpoint: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """The averaged weights where the averaging has begun, else the current ones.

    Lightning's WeightAveraging keeps the average in "state_dict" and the current weights beside it; before its first
    update the average is still the initial weights.
    """
    count = checkpoint.get("averaging_state", {}).get("n_averaged")
    if count is not None and int(count) == 0:
        _log.warning("the averaged weights were never updated; the current weights are exported")
        return checkpoint["current_model_state"]
    return checkpoint["state_dict"]


def _tokenizer(name: str, source: Tokenizer | Path | str, allow: Iterable[type]) -> Tokenizer:
    if isinstance(source, Tokenizer):
        return source
    if not Path(source).is_dir():
        raise ValueError(
            f"{source}, the tokenizer of {name!r}, is no folder in {Path.cwd()}: run this where the model was trained, "
            f"or name the folder (--tokenizer {name}=FOLDER)"
        )
    return load_tokenizer(source, allow)


def _load_part(module: nn.Module, weights: Mapping[str, Tensor], prefix: str, path: Path | str) -> None:
    """Load the weights under a prefix; what lies elsewhere (heads of objectives) is logged."""
    own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    left = sorted(key for key in weights if not key.startswith(prefix))
    if left:
        _log.info("not exported: %s", ", ".join(left))
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} does not fit the model it says it holds: {reason:.300}") from error
