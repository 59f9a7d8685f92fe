"""`maskmm extract` through its run: shards that hold the features, and resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import webdataset
from safetensors import safe_open
from safetensors.torch import load_file

from datamodules.media_files import decode_media, write_media
from maskmm.cli.main import main


@pytest.fixture
def images(toy_media, tmp_path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(toy_media["image"]):
        write_media(folder / f"{i}.png", "image", image, 100)
    return folder


def read(folder: Path) -> torch.Tensor:
    files = [folder / f"{i}.png" for i in range(5)]
    return torch.stack([decode_media("image", f.read_bytes(), 100, f.name) for f in files])


def test_shards_hold_the_features(toy_folder, toy_pipeline, images, tmp_path) -> None:
    out = tmp_path / "out"
    arguments = [str(images), "--out", str(out), "--layers", "0", "-1", "--shard-size", "2"]
    assert main(["extract", str(toy_folder), *arguments]) == 0
    shards = sorted(out.glob("*.safetensors"))
    assert [s.name for s in shards] == ["000000.safetensors", "000001.safetensors", "000002.safetensors"]
    found = torch.cat([load_file(s)["image"] for s in shards])
    expected = toy_pipeline.extract_features({"image": read(images)}, layers=[0, -1])["image"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    with safe_open(shards[1], "pt") as shard:
        assert json.loads(shard.metadata()["names"]) == [str(images / "2.png"), str(images / "3.png")]


def test_finished_shards_are_not_made_again(toy_folder, images, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    arguments = ["extract", str(toy_folder), str(images), "--out", str(out), "--shard-size", "2"]
    assert main(arguments) == 0
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    expected = load_file(out / "000001.safetensors")["image"]
    (out / "000001.safetensors").unlink()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "1 shards written, 2 were there" in capsys.readouterr().out
    after = {p.name: p.stat().st_mtime_ns for p in out.glob("*.safetensors")}
    assert {k: v for k, v in after.items() if "1." not in k} == {
        k: v for k, v in before.items() if "1." not in k
    }
    assert torch.equal(load_file(out / "000001.safetensors")["image"], expected)


@pytest.mark.parametrize("kind", ["safetensors", "webdataset"])
def test_a_shard_that_was_cut_short_is_not_taken_for_whole(
    toy_folder, images, tmp_path, capsys, kind
) -> None:
    out = tmp_path / "out"
    arguments = ["extract", str(toy_folder), str(images), "--out", str(out), "--format", kind]
    assert main(arguments) == 0
    (shard,) = out.glob("000000.*")
    whole = shard.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for kept in (0, 7, end // 2, end - 1):
        shard.write_bytes(whole[:kept])
        capsys.readouterr()
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert f"{shard} is truncated or damaged" in error and error.count("\n") == 1
    shard.unlink()
    assert main(arguments) == 0
    assert main(arguments) == 0
    assert "0 shards written, 1 were there" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "[1]"])
def test_a_damaged_manifest_is_named(toy_folder, images, tmp_path, capsys, content) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text(content)
    (out / "000000.safetensors").write_bytes(b"")
    assert main(["extract", str(toy_folder), str(images), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert f"{out / 'manifest.json'} is" in error and error.count("\n") == 1


def test_other_settings_do_not_mix(toy_folder, images, tmp_path, capsys) -> None:
    arguments = ["extract", str(toy_folder), str(images), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main([*arguments, "--pool", "cls"]) == 2
    assert "another pool" in capsys.readouterr().err
    assert main([*arguments, "--resample"]) == 2
    assert "another is_resampled" in capsys.readouterr().err
    (images / "4.png").unlink()
    assert main(arguments) == 2
    assert "another num_samples, samples;" in capsys.readouterr().err


def test_a_run_that_failed_does_not_bind_the_next(toy_folder, images, tmp_path) -> None:
    (images / "9.png").write_text("no image")
    arguments = ["extract", str(toy_folder), str(images), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    (images / "9.png").unlink()
    assert main(arguments) == 0


def test_joint_samples_of_a_jsonl_as_webdataset(
    toy_folder, toy_pipeline, toy_media, images, tmp_path
) -> None:
    file = tmp_path / "samples.jsonl"
    lines = [
        {"id": f"s{i}", "image": str(images / f"{i}.png"), "text": toy_media["text"][i]} for i in range(5)
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines))
    out = tmp_path / "out"
    arguments = [str(file), "--out", str(out), "--format", "webdataset", "--pool", "tokens"]
    assert main(["extract", str(toy_folder), *arguments]) == 0
    samples = list(webdataset.WebDataset(str(out / "000000.tar"), shardshuffle=False).decode())
    inputs = {"image": read(images), "text": toy_media["text"]}
    expected = toy_pipeline.extract_features(inputs, pool="tokens")
    for i, sample in enumerate(samples):
        assert sample["json"] == {"name": f"s{i}"}
        for name in ("image", "text", "joint"):
            torch.testing.assert_close(
                torch.from_numpy(sample[f"{name}.npy"]), expected[name][i], atol=1e-5, rtol=1e-4
            )


def test_features_of_varying_length_lie_end_to_end(toy_folder, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("seven\n")
    (tmp_path / "b.txt").write_text("two")
    out = tmp_path / "out"
    files = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    assert main(["extract", str(toy_folder), *files, "--out", str(out), "--pool", "tokens"]) == 0
    shard = load_file(out / "000000.safetensors")
    assert shard["text.length"].tolist() == [5, 3] and shard["text"].shape == (8, 32)


def test_one_modality_of_a_mixed_folder(toy_folder, images, tmp_path, capsys) -> None:
    (images / "a.txt").write_text("seven")
    arguments = ["extract", str(toy_folder), str(images), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "different modalities" in capsys.readouterr().err
    assert main([*arguments, "--modality", "image"]) == 0
    assert load_file(tmp_path / "out" / "000000.safetensors")["image"].shape == (5, 32)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.xyz", "", [], "--modality NAME"),
        ("none.png", None, [], "does not exist"),
        ("none.jsonl", None, [], "does not exist"),
        ("a.png", "no image", [], "a.png"),
        ("a.txt", "two", ["--modality", "video"], "'video' is not in this checkpoint"),
        ("a.jsonl", "{}", [], "line 1"),
        ("a.jsonl", '{"video": "a"}', [], "['video'] are not in this checkpoint"),
        ("a.jsonl", '{"text": "two"}\n{"image": "a.png"}', [], "different modalities"),
        ("a.jsonl", "", [], "no samples"),
        ("a.txt", "two", ["--shard-size", "0"], "--shard-size 0"),
        ("a.txt", "two", ["--layers", "9"], "layer 9"),
    ],
)
def test_mistakes_are_one_line(toy_folder, tmp_path, capsys, name, content, options, message) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    assert (
        main(["extract", str(toy_folder), str(tmp_path / name), "--out", str(tmp_path / "o"), *options]) == 2
    )
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
