import copy
import inspect
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from torch import nn

from tokenizers_vq.contract import Described
from tokenizers_vq.contract.described import arguments_of, find_class, path_of, rebuild
from tokenizers_vq.quantizers import FSQ, Quantizer


class Inner(Described):
    def __init__(self, size: int, name: str = "a") -> None:
        self.size, self.name = size, name


@dataclass(frozen=True)
class Weight(Described):
    value: float = 2.0


class Outer(Described, nn.Module):
    def __init__(self, parts: list[Inner], folder: Path = Path("x"), weight: Weight | None = None) -> None:
        super().__init__()
        self.parts, self.folder, self.weight = parts, folder, weight


class Open(Described):
    def __init__(self, first: int, **rest: int) -> None:
        self.rest = rest


def outer() -> Outer:
    return Outer([Inner(1), Inner(size=2, name="b")], weight=Weight(3.0))


def test_arguments_with_defaults_survive_json_and_build_the_same():
    told = json.loads(json.dumps({"class_path": path_of(Outer), "init_args": arguments_of(outer())}))
    built = rebuild(told)
    assert isinstance(built, Outer)
    assert [(p.size, p.name) for p in built.parts] == [(1, "a"), (2, "b")]
    assert built.weight == Weight(3.0)
    assert built.folder == "x"
    assert arguments_of(built) == arguments_of(outer())


def test_copies_bring_their_arguments_along():
    assert arguments_of(copy.deepcopy(outer())) == arguments_of(outer())


def test_training_arguments_are_left_out():
    assert set(arguments_of(outer(), leave_out=["weight"])) == {"parts", "folder"}


def test_open_arguments_are_flat():
    assert arguments_of(Open(1, other=2)) == {"first": 1, "other": 2}


def test_help_shows_the_real_arguments():
    assert list(inspect.signature(Inner).parameters) == ["size", "name"]


def test_what_cannot_be_described_is_named():
    with pytest.raises(ValueError, match=r"Outer\(parts=.*Linear"):
        arguments_of(Outer([nn.Linear(1, 1)]))  # type: ignore[list-item]


def test_foreign_classes_are_refused_at_any_depth():
    told = {"parts": [{"class_path": "os.path.Join"}]}
    with pytest.raises(ValueError, match=r"os\.path\.Join"):
        rebuild(told)


def test_a_class_may_be_named_by_the_package_that_passes_it_on():
    assert find_class("tokenizers_vq.quantizers.FSQ", Quantizer) is FSQ
    for wrong in (
        "tokenizers_vq.quantizers.nearest_code",
        "tokenizers_vq.quantizers.Nothing",
        "tokenizers_vq.x.FSQ",
    ):
        with pytest.raises(ValueError, match="class"):
            find_class(wrong, Quantizer)


def test_missing_arguments_are_pythons_own_error():
    with pytest.raises(TypeError, match="size"):
        Inner()  # type: ignore[call-arg]
