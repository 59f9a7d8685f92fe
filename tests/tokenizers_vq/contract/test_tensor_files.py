"""Files of tensors: what is damaged or holds more is one clear error, whatever torch stumbles over."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tokenizers_vq.contract.tensor_files import read_tensors


@pytest.mark.parametrize("is_zip", [True, False])
def test_tensors_and_plain_values_are_read(tmp_path: Path, is_zip: bool) -> None:
    torch.save({"a": torch.ones(2), "n": 3}, tmp_path / "x.pt", _use_new_zipfile_serialization=is_zip)
    assert read_tensors(tmp_path / "x.pt")["n"] == 3
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    assert read_tensors(tmp_path / "x.safetensors")["a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["x.pt", "x.bin", "x.safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"PK\x03\x04",
        b"\x80\x02}q\x00",
        b"cos\nsystem\n(S'ls'\ntR.",
        b"(lp0\nh\x07.",
        bytes(64),
    ],
    ids=repr,
)
def test_other_bytes_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match="is truncated, or holds more than tensors"):
        read_tensors(tmp_path / name)


def test_objects_and_missing_files_are_refused(tmp_path: Path) -> None:
    torch.save(argparse.Namespace(a=1), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_tensors(tmp_path / "x.pt")
    with pytest.raises(ValueError, match="is truncated, or holds more"):
        read_tensors(tmp_path / "nowhere.pt")
