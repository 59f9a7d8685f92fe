import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import datamodules.store_files as store_module
from datamodules.store import TokenItems, TokenStore, write_store
from tokenizers_vq.contract import TokenSpec

IMAGE = TokenSpec(64, 1, ("y", "x"), grid=(4, 4))
SPEECH = TokenSpec(100_000, 2, ("t",), max_length=9)
LABEL = TokenSpec(10)


def items_of(spec: TokenSpec, count: int) -> tuple[list[torch.Tensor], TokenItems]:
    random = torch.Generator().manual_seed(0)
    codes = []
    for index in range(count):
        shape = spec.shape() if spec.is_fixed else spec.shape(1 + index % 9)
        codes.append(torch.randint(spec.codebook_size, (*shape, spec.num_codebooks), generator=random))
    return codes, TokenItems.from_codes(codes, torch.arange(count) % 3, spec, f"hash of {count}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    items = {
        "image": items_of(IMAGE, 7)[1],
        "speech": items_of(SPEECH, 20)[1],
        "label": items_of(LABEL, 5)[1],
    }
    write_store(tmp_path / "store", items, {"seed": 3})
    return tmp_path / "store"


@pytest.mark.parametrize(
    ("name", "spec", "count"), [("image", IMAGE, 7), ("speech", SPEECH, 20), ("label", LABEL, 5)]
)
def test_written_is_read(folder: Path, name: str, spec: TokenSpec, count: int) -> None:
    store = TokenStore.open(folder)
    codes, made = items_of(spec, count)
    assert store.settings == {"seed": 3} and store.items[name].fingerprint == f"hash of {count}"
    assert {m.name: m.spec for m in store.modalities}[name] == spec
    assert made.codes.dtype == (np.int32 if name == "speech" else np.uint16)
    assert torch.equal(store.labels(name), torch.arange(count) % 3)
    for index, value in enumerate(codes):
        assert torch.equal(store.codes(name, index), value)


def test_gather_agrees_with_a_loop(folder: Path) -> None:
    store, (codes, _) = TokenStore.open(folder), items_of(SPEECH, 20)
    index = torch.tensor([3, 3, 19, 0, 8])
    flat, shapes = store.gather("speech", index)
    assert flat.dtype == torch.int64
    assert torch.equal(flat, torch.cat([codes[i] for i in index.tolist()]))
    assert shapes.tolist() == [list(codes[i].shape[:-1]) for i in index.tolist()]


def test_workers_open_the_files_again(folder: Path) -> None:
    store = TokenStore.open(folder)
    data = pickle.dumps(store)
    assert len(data) < 1000
    assert torch.equal(pickle.loads(data).codes("image", 2), store.codes("image", 2))


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete"])
@pytest.mark.parametrize("array", ["codes", "shapes", "labels"])
def test_damage_is_named(folder: Path, array: str, damage: str) -> None:
    path = folder / f"speech.{array}.npy"
    data = path.read_bytes()
    if damage == "truncate":
        path.write_bytes(data[:-3])
    elif damage == "flip":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path.unlink()
    with pytest.raises(ValueError, match=rf"speech.{array}.npy is corrupt or truncated"):
        TokenStore.open(folder)


def flipped(folder: Path) -> Path:
    path = folder / "speech.codes.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return path


def test_large_codes_are_compared_where_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store_module, "_MOST_CHECKED", 0)
    path = flipped(folder)
    with caplog.at_level("INFO"):
        TokenStore.open(folder)
    assert f"{path}: 0.0 GB were not compared with their checksum" in caplog.text
    with pytest.raises(ValueError, match="speech.codes.npy is corrupt"):
        TokenStore.open(folder, checks_codes=True)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="speech.codes.npy is corrupt or truncated"):
        TokenStore.open(folder)


def test_workers_do_not_compare_again(folder: Path) -> None:
    data = pickle.dumps(TokenStore.open(folder))
    flipped(folder)
    assert len(pickle.loads(data).items["speech"]) == len(TokenStore.open(folder, False).items["speech"])


def test_wrong_descriptions_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere/store.json does not exist"):
        TokenStore.open(tmp_path / "nowhere")
    path = folder / "store.json"
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(ValueError, match="store.json is corrupt"):
        TokenStore.open(folder)
    path.write_text(json.dumps(json.loads(text) | {"format_version": 99}))
    with pytest.raises(ValueError, match="format_version 99, this version reads 1"):
        TokenStore.open(folder)


def test_a_failed_write_leaves_the_old_store(folder: Path) -> None:
    with pytest.raises(TypeError):
        write_store(folder, {"image": items_of(IMAGE, 2)[1]}, {"seed": object()})
    assert len(TokenStore.open(folder).items["image"]) == 7
    assert [p.name for p in folder.parent.iterdir()] == ["store"]
    write_store(folder, {"image": items_of(IMAGE, 2)[1]}, {})
    assert len(TokenStore.open(folder).items["image"]) == 2
    assert [p.name for p in folder.parent.iterdir()] == ["store"]


def test_wrong_requests_are_named(folder: Path) -> None:
    store = TokenStore.open(folder)
    with pytest.raises(ValueError, match="no modality 'video', only"):
        store.labels("video")
    with pytest.raises(ValueError, match="image item 7"):
        store.codes("image", 7)
    with pytest.raises(ValueError, match="item 0: codes from 0 to 64"):
        TokenItems.from_codes(
            [torch.tensor([0, 64]).repeat(8).reshape(4, 4, 1)], torch.zeros(1).long(), IMAGE, ""
        )
    with pytest.raises(ValueError, match="one label each"):
        TokenItems.from_codes([torch.zeros(4, 4, 1).long()], torch.zeros(2).long(), IMAGE, "")


def patches(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Continuous inputs of `count` images."""
    return torch.randn(count * 16, 5, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_continuous_inputs_are_read_as_written(tmp_path: Path, dtype: torch.dtype) -> None:
    values, (codes, items) = patches(7, dtype), items_of(IMAGE, 7)
    write_store(tmp_path / "s", {"image": items.with_inputs(values, "of patches")}, {})
    store = TokenStore.open(tmp_path / "s")
    index = torch.tensor([6, 0, 0, 3])
    found = store.gather_inputs("image", index)
    assert found.dtype == torch.float32 and store.items["image"].inputs_fingerprint == "of patches"
    assert torch.equal(found, torch.cat([values[i * 16 : (i + 1) * 16] for i in index.tolist()]).float())
    assert torch.equal(store.codes("image", 3), codes[3])
    assert torch.equal(pickle.loads(pickle.dumps(store)).gather_inputs("image", index), found)
    path = tmp_path / "s" / "image.inputs.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"image.inputs.npy is corrupt or truncated"):
        TokenStore.open(tmp_path / "s")


def test_inputs_of_a_modality_without_codes(tmp_path: Path) -> None:
    spec = TokenSpec(0, 0, ("y", "x"), grid=(4, 4))
    items = TokenItems.from_codes([torch.zeros(4, 4, 0).long()] * 3, torch.arange(3), spec, "none")
    write_store(tmp_path / "s", {"image": items.with_inputs(patches(3, torch.float32), "p")}, {})
    store = TokenStore.open(tmp_path / "s")
    flat, shapes = store.gather("image", torch.tensor([2, 1]))
    assert flat.shape == (32, 0) and shapes.tolist() == [[4, 4], [4, 4]]
    assert torch.equal(store.gather_inputs("image", torch.tensor([2])), patches(3, torch.float32)[32:])


def test_bad_inputs_are_named(folder: Path) -> None:
    items = items_of(IMAGE, 7)[1]
    for bad in (patches(6, torch.float32), patches(7, torch.float64), patches(7, torch.float32)[:, 0]):
        with pytest.raises(ValueError, match="continuous inputs of shape .* for 112 positions"):
            items.with_inputs(bad, "")
    with pytest.raises(ValueError, match="NaN or values beyond float16"):
        items.with_inputs((patches(7, torch.float32) * 1e6).half(), "")
    with pytest.raises(ValueError, match="no continuous inputs of 'image'"):
        TokenStore.open(folder).gather_inputs("image", torch.tensor([0]))
