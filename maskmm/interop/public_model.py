"""A public model as it is published: configuration, weights and text vocabulary, read without running its code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from maskmm.checkpoint import resolve_folder
from maskmm.interop.fields import Fields
from tokenizers_vq.contract.tensor_files import read_tensors

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_PATTERNS = ["*.json", "*.txt", "model*.safetensors"]
_OLDER_HUB_PATTERNS = [*_HUB_PATTERNS, "pytorch_model*.bin"]


@dataclass(frozen=True)
class PublicModel:
    """What a translation starts from.

    Attributes:
        fields: the configuration.
        weights: name -> tensor, on the CPU.
        preprocessing: what its publisher says about the media it takes (mean, standard deviation); may be empty.
        text: where its text tokenizer comes from: a folder, a fast tokenizer of transformers, one of ours, or None.
    """

    fields: Fields
    weights: dict[str, Tensor]
    preprocessing: dict[str, Any] = field(default_factory=dict)
    text: Any = None


def from_object(model: nn.Module, config: Mapping[str, Any], text: Any = None) -> PublicModel:
    """A model that is built already, compiled or not; its weights are copied.

    Raises:
        ValueError: one on the meta device.
    """
    model = getattr(model, "_orig_mod", model)
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if empty:
        raise ValueError(
            f"{len(empty)} weights of {type(model).__name__} are on the meta device, {empty[0]} first: it holds no "
            "values; load its weights first"
        )
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    preprocessing = getattr(model, "pretrained_cfg", None) or {}
    return PublicModel(Fields(dict(config), type(model).__name__), weights, dict(preprocessing), text)


def from_folder(name: Path | str, text: Any = None) -> PublicModel:
    """A folder with config.json and weights, or the id of a repository on the Hugging Face hub.

    Args:
        name: the folder or id.
        text: see `PublicModel`; the folder itself where not given.

    Raises:
        ValueError: no such folder, a file that is missing or damaged, or one that holds more than tensors.
    """
    folder = resolve_folder(name, _HUB_PATTERNS)
    if not any(folder.glob("model*.safetensors")):  # both kinds are often there, and one is enough
        folder = resolve_folder(name, _OLDER_HUB_PATTERNS)
    config = _read_json(folder / "config.json")
    preprocessing = config.get("pretrained_cfg") or {}
    if (folder / "preprocessor_config.json").is_file():
        preprocessing = _read_json(folder / "preprocessor_config.json")
    return PublicModel(
        Fields(config, str(folder)), _folder_weights(folder), preprocessing, folder if text is None else text
    )


def from_file(path: Path | str) -> PublicModel:
    """One torch file with the configuration under "cfg" and the weights under "model", as BEATs is published.

    Raises:
        ValueError: no such file, one that is damaged, holds more than tensors and plain values, or lacks either.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the file of a checkpoint")
    data = read_tensors(path)
    if not isinstance(data, Mapping) or not all(isinstance(data.get(k), Mapping) for k in ("cfg", "model")):
        raise ValueError(
            f"{path} has no entries 'cfg' and 'model', which a BEATs checkpoint has; of any other model give the folder"
        )
    return PublicModel(Fields(data["cfg"], str(path)), _tensors_only(data["model"], path))


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the folder of a public model")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, expected an object")
    return data


def _folder_weights(folder: Path) -> dict[str, Tensor]:
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return _tensors_only(read_tensors(folder / name), folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(folder, index)
    raise ValueError(f"{folder} holds no weights; expected one of {list(_WEIGHT_FILES)}, whole or in shards")


def _shards(folder: Path, index: Path) -> dict[str, Tensor]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is no index of weights: {error!r}") from error
    weights: dict[str, Tensor] = {}
    for name in names:
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise ValueError(f"{path}, named by {index.name}, does not exist; copy the folder again")
        weights |= _tensors_only(read_tensors(path), path)
    return weights


def _tensors_only(data: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(data, Mapping) or not all(isinstance(value, Tensor) for value in data.values()):
        raise ValueError(f"{path} holds a {type(data).__name__}, expected names and tensors")
    return dict(data)
