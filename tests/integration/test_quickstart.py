"""The whole quickstart at toy size: killed in the middle, continued, and started once more."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskmm.pipeline import load

# One worker: the fixtures are what takes the time.
pytestmark = pytest.mark.xdist_group("quickstart")
KILLED = 9
# Ends the process without any clean-up, between the checkpoints of steps 10 and 15.
KILL = f"""
import os
from maskmm.module import MaskedModule

plain_step = MaskedModule.training_step

def last_step(self, batch, batch_idx):
    if self.global_step == 12:
        os._exit({KILLED})
    return plain_step(self, batch, batch_idx)

MaskedModule.training_step = last_step
"""
MODEL = "configs/experiment/quickstart/model.yaml"
TOY_MODEL = "configs/experiment/quickstart/toy/model.yaml"


def maskmm(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "maskmm.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True, check=False)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart")


@pytest.fixture(scope="module")
def killed(work: Path) -> Path:
    """What a process leaves that was killed while the shared model was training."""
    (work / "kill_in_training.py").write_text(KILL)
    done = maskmm("quickstart", "--toy", "--out", "run", "--plugin", "kill_in_training", cwd=work)
    assert done.returncode == KILLED, done.stderr[-4000:]
    return work / "run"


@pytest.fixture(scope="module")
def finished(killed: Path) -> tuple[Path, str]:
    """The same folder after a second start, and what that start said."""
    assert not (killed / "model").exists() and not (killed / "scores.json").exists()
    done = maskmm("quickstart", "--toy", "--out", "run", cwd=killed.parent)
    assert done.returncode == 0, done.stderr[-4000:]
    return killed, done.stderr


def test_a_second_start_continues(finished: tuple[Path, str]) -> None:
    folder, said = finished
    assert said.count("done before") == 5
    receipt = json.loads((folder / ".stages/model.json").read_text())
    assert receipt["num_starts"] == 2


def test_the_continued_training_is_the_uninterrupted_one(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    configs = (f"--config={MODEL}", f"--config={TOY_MODEL}")
    run = (
        "--trainer.default_root_dir=uninterrupted",
        "--trainer.enable_progress_bar=false",
        "--seed_everything=0",
    )
    done = maskmm("fit", *configs, *run, cwd=folder)
    assert done.returncode == 0, done.stderr[-4000:]
    parts = [
        torch.load(folder / name / "checkpoints/last.ckpt", weights_only=True)
        for name in ("runs/model", "uninterrupted")
    ]
    for key in ("state_dict", "current_model_state"):
        continued, plain = (part[key] for part in parts)
        assert continued.keys() == plain.keys()
        assert all(torch.equal(value, plain[name]) for name, value in continued.items())


def test_a_third_start_does_nothing(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    before = digests(folder)
    done = maskmm("quickstart", "--toy", "--out", "run", cwd=folder.parent)
    assert done.returncode == 0, done.stderr[-4000:]
    assert " ..." not in done.stderr
    assert digests(folder) == before


def test_everything_is_there(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    for name in ("image", "text", "speech"):
        assert (folder / "tokenizers" / name / "config.json").is_file()
    assert (folder / "model/config.json").is_file()
    assert list((folder / "gallery").glob("*.png")) and list((folder / "gallery").rglob("*.wav"))
    scores = json.loads((folder / "scores.json").read_text())
    assert {"wall time (s)", "text -> image is the digit"} <= {row["name"] for row in scores["rows"]}
    assert scores["settings"]["stages"]["model"]["num_starts"] == 2


def test_fits_fill_tensorboard(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    tags = {
        name: event_tags(folder / "runs" / name) for name in ("image_tokenizer", "speech_tokenizer", "model")
    }
    assert {"train/loss", "val/usage/0", "val/perplexity/0"} <= tags["image_tokenizer"]
    assert {"val/reconstruction", "val/spectrogram"} <= tags["speech_tokenizer"]
    assert {"train/loss", "tokens_per_s", "val/loss", "val/speech/1/masked/accuracy"} <= tags["model"]
    assert {"samples/image", "originals/image", "samples/text/text_summary"} <= tags["model"]
    assert any(tag.startswith("samples/speech/0_from_") for tag in tags["model"])


def event_tags(folder: Path) -> set[str]:
    found = EventAccumulator(str(folder)).Reload().Tags()
    return {tag for kind in ("scalars", "images", "audio", "tensors") for tag in found[kind]}


def test_the_model_loads_and_generates(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    pipeline = load(folder / "model")
    made = pipeline.generate({"text": ["a handwritten seven"]}, targets=["image"], num_steps=2, seed=0)
    assert made["image"].shape == (1, 1, 32, 32)


def test_nothing_half_written_is_left(finished: tuple[Path, str]) -> None:
    folder, _ = finished
    assert not [path for path in folder.rglob("*") if path.suffix in (".partial", ".tmp")]
    assert not list(folder.rglob("*.begun.json"))
