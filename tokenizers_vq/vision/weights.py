"""Weights of public vision models from files; nothing is downloaded and nothing unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tokenizers_vq.contract.tensor_files import read_tensors

_WRAPPERS = ("state_dict", "model")  # keys under which training scripts put the weights


def load_weights(network: nn.Module, path: Path | str) -> None:
    """Load all weights of a network; those in the file that the network lacks (a classifier's) are left.

    Args:
        network: as the file's, with or without its last layers.
        path: .safetensors, or a PyTorch file of plain tensors.

    Raises:
        ValueError: no such file, one that holds more than tensors, or weights that are missing or of other shapes.
    """
    weights = read_weights(Path(path))
    own = network.state_dict()
    missing = [name for name in own if name not in weights]
    other = [name for name in own if name in weights and weights[name].shape != own[name].shape]
    if missing or other:
        raise ValueError(
            f"{path} does not fit {type(network).__name__}: {len(missing)} of {len(own)} weights are missing "
            f"{missing[:3]}, {len(other)} have other shapes {other[:3]}; give the file of the named model"
        )
    network.load_state_dict({name: weights[name] for name in own})


def check_weights(own: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, what: str) -> None:
    """Raise ValueError unless weights have the names and shapes of a network's own, no fewer and no more.

    Args:
        own: of the network.
        found: in the file.
        path: of the file, and `what` it should be, for messages.
    """
    missing, left = sorted(own.keys() - found.keys()), sorted(found.keys() - own.keys())
    other = sorted(name for name in own.keys() & found.keys() if own[name].shape != found[name].shape)
    if missing or left or other:
        raise ValueError(
            f"{path} is not {what} that was expected: it lacks {missing}, has {left} besides, and in other shapes "
            f"{other}"
        )


def read_weights(path: Path) -> dict[str, Tensor]:
    """name -> tensor of a file.

    Raises:
        ValueError: no such file, or one that holds more than tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a file of weights")
    content = read_tensors(path)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} holds no weights by name; expected .safetensors, or a saved state_dict")
    return content
