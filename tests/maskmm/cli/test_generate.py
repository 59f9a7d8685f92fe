"""`maskmm generate` through its run: files, manifest, and errors of one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from datamodules.media_files import read_media, write_media
from maskmm.cli.main import main


def lines_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_text_to_image_and_speech(toy_folder, toy_pipeline, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    texts = ["a seven", "two"]
    arguments = [
        "--text",
        *texts,
        "--to",
        "image",
        "speech",
        "--out",
        str(out),
        "--seed",
        "3",
        "--num-steps",
        "2",
    ]
    assert main(["generate", str(toy_folder), *arguments]) == 0
    assert "4 files" in capsys.readouterr().out
    lines = lines_of(out)
    assert [line["file"] for line in lines] == [
        "000000.image.png", "000000.speech.wav", "000001.image.png", "000001.speech.wav",
    ]  # fmt: skip
    assert {line["seed"] for line in lines} == {3} and lines[2]["inputs"] == {"text": "two"}
    assert lines[0]["settings"]["num_steps"] == 2 and len(lines[0]["sha256"]) == 64
    expected = toy_pipeline.generate({"text": texts}, ["image", "speech"], seed=3, num_steps=2)
    image = read_media(out / "000001.image.png", 100)
    torch.testing.assert_close(image, expected["image"][1], atol=1 / 255, rtol=0)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*(line["file"] for line in lines), "manifest.jsonl"]
    )


def test_files_in_text_out(toy_folder, toy_media, tmp_path) -> None:
    write_media(tmp_path / "a.png", "image", toy_media["image"][0], 100)
    write_media(tmp_path / "a.wav", "audio", toy_media["speech"][0], 100)
    out = tmp_path / "out"
    inputs = ["--image", str(tmp_path / "a.png"), "--input", f"speech={tmp_path / 'a.wav'}"]
    assert (
        main(["generate", str(toy_folder), *inputs, "--to", "text", "--length", "text=4", "--out", str(out)])
        == 0
    )
    assert (out / "000000.text.txt").read_text().count("\n") == 1
    assert lines_of(out)[0]["lengths"] == {"text": 4}


def test_requests_may_differ_in_everything(toy_folder, toy_pipeline, tmp_path) -> None:
    requests = [
        {"inputs": {"text": "two"}, "to": ["image"]},
        {"inputs": {}, "to": "text", "seed": 5},
        {"inputs": {"text": "nine"}, "to": ["image"]},
        {"inputs": {"text": "nine"}, "to": ["image"], "settings": {"num_steps": 1}, "sample_id": 7},
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("\n".join(json.dumps(r) for r in requests) + "\n\n")
    out = tmp_path / "out"
    assert (
        main(["generate", str(toy_folder), "--requests", str(file), "--out", str(out), "--num-steps", "2"])
        == 0
    )
    lines = lines_of(out)
    assert [(line["target"], line["seed"], line["sample_id"]) for line in lines] == [
        ("image", 0, 0), ("text", 5, 1), ("image", 0, 2), ("image", 0, 7),
    ]  # fmt: skip
    assert [line["settings"]["num_steps"] for line in lines] == [2, 2, 2, 1]
    alone = toy_pipeline.generate({"text": ["nine"]}, ["image"], sample_id=[2], num_steps=2)
    image = read_media(out / "000002.image.png", 100)
    torch.testing.assert_close(image, alone["image"][0], atol=1 / 255, rtol=0)


def test_unconditional(toy_folder, tmp_path) -> None:
    arguments = ["--num-samples", "3", "--to", "image", "--out", str(tmp_path)]
    assert main(["generate", str(toy_folder), *arguments]) == 0
    assert len(list(tmp_path.glob("*.png"))) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "two"], "no targets: give --to"),
        (["--to", "image"], "no inputs"),
        (["--text", "two", "--to", "video"], "targets ['video'] are not in this checkpoint"),
        (["--input", "video=a.mp4", "--to", "image"], "inputs ['video'] are not in this checkpoint"),
        (["--input", "video", "--to", "image"], "expected NAME=VALUE"),
        (["--image", "/no/such.png", "--to", "text"], "/no/such.png does not exist"),
        (["--text", "a", "b", "--image", "a.png", "--to", "speech"], "different numbers of values"),
        (["--text", "", "--to", "image"], "not empty"),
        (["--text", "two", "--to", "image", "--num-steps", "0"], "num_steps=0"),
        (["--text", "two", "--to", "speech", "--length", "speech=x"], "--length speech=x"),
        (["--text", "two", "--to", "speech", "--length", "speech=99"], "1 to 10"),
        (["--requests", "/no/such.jsonl", "--to", "image"], "/no/such.jsonl does not exist"),
        (["--requests", "x", "--text", "two", "--to", "image"], "beside inputs"),
        (["--requests", "/", "--to", "image"], "/ is a folder; expected a .jsonl file"),
        (["--image", "/", "--to", "text"], "/ is a folder; expected a file of kind image"),
        (["--num-samples", "0", "--to", "image"], "--num-samples 0, expected at least 1"),
        (["--text", "two", "--to", "image", "--to", "image"], "names a modality twice"),
        (["--text", "two", "--to", "image", "--length", "image=4"], "'image' given, but it always has"),
        (["--text", "two", "--to", "image", "--length", "speech=4"], "['speech'] are not among the targets"),
        (["--text", "two", "--to", "image", "--device", "tpu"], "device 'tpu' does not work"),
        (["--text", "two", "--to", "image", "--seed", str(1 << 70)], f"seed: {1 << 70}, expected a whole"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(toy_folder, tmp_path, capsys, arguments, message) -> None:
    assert main(["generate", str(toy_folder), *arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("maskmm: error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[1]",
        '{"input": {}}',
        '{"inputs": {"text": 3}}',
        '{"inputs": []}',
        '{"to": 3}',
        '{"to": null}',
        '{"to": ["image", 3]}',
        '{"seed": "x"}',
        '{"seed": null}',
        '{"seed": 1.5}',
        '{"sample_id": true}',
        '{"settings": [1]}',
        '{"lengths": [3]}',
        '{"lengths": {"speech": 4.5}}',
    ],
)
def test_bad_requests_name_their_line(toy_folder, tmp_path, capsys, line) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"to": "image"}\n' + line + "\n")
    assert main(["generate", str(toy_folder), "--requests", str(file), "--out", str(tmp_path / "out")]) == 2
    assert "line 2" in capsys.readouterr().err


def test_requests_that_are_no_text_name_their_file(toy_folder, tmp_path, capsys) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_bytes(b"\xff")
    assert main(["generate", str(toy_folder), "--requests", str(file), "--out", str(tmp_path / "out")]) == 2
    assert f"{file} is not UTF-8 text" in capsys.readouterr().err


def test_an_option_given_twice_adds_to_the_first(toy_folder, tmp_path) -> None:
    arguments = ["--text", "two", "--text", "a seven", "--to", "image", "--to", "speech"]
    assert main(["generate", str(toy_folder), *arguments, "--num-steps", "1", "--out", str(tmp_path)]) == 0
    assert len(lines_of(tmp_path)) == 4


def test_a_sample_that_does_not_fit_is_named(toy_folder, toy_media, tmp_path, capsys) -> None:
    image = toy_media["image"][0]
    write_media(tmp_path / "good.png", "image", image, 100)
    write_media(tmp_path / "bad.png", "image", image[:, 1:], 100)
    start = ["generate", str(toy_folder), "--to", "text", "--out", str(tmp_path / "out"), "--image"]
    assert main([*start, str(tmp_path / "bad.png")]) == 2
    assert f"{tmp_path / 'bad.png'}: " in capsys.readouterr().err
    assert main([*start, str(tmp_path / "good.png"), str(tmp_path / "bad.png")]) == 2
    assert f"{tmp_path / 'bad.png'} is an image of shape" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_one_line(toy_folder, tmp_path, capsys) -> None:
    (tmp_path / "out").write_text("")
    arguments = ["--text", "two", "--to", "image", "--out", str(tmp_path / "out")]
    assert main(["generate", str(toy_folder), *arguments]) == 2
    assert capsys.readouterr().err == (
        f"maskmm: error: {tmp_path / 'out'}: File exists; expected a path that can be read or written here\n"
    )


def test_a_wrong_sample_rate_is_refused(toy_folder, toy_media, tmp_path, capsys) -> None:
    write_media(tmp_path / "a.wav", "audio", toy_media["speech"][0].repeat(80), 8000)
    arguments = ["--speech", str(tmp_path / "a.wav"), "--to", "text", "--out", str(tmp_path / "out")]
    assert main(["generate", str(toy_folder), *arguments]) == 2
    assert "8000" in capsys.readouterr().err
    assert main(["generate", str(toy_folder), *arguments, "--resample"]) == 0


def test_a_missing_checkpoint_is_one_line(tmp_path, capsys) -> None:
    assert main(["generate", str(tmp_path / "none"), "--text", "a", "--to", "image"]) == 2
    assert "does not exist" in capsys.readouterr().err
