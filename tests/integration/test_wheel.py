"""An installed wheel brings its configs: built and installed without a network, it trains."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")
ROOT = Path(__file__).parents[2]
SOURCES = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "maskmm",
    "tokenizers_vq",
    "datamodules",
    "configs",
)
FIT = (
    "fit",
    "--config=configs/experiment/quickstart/image_tokenizer.yaml",
    "--config=configs/experiment/quickstart/toy/image_tokenizer.yaml",
    "--trainer.max_steps=2",
    "--trainer.val_check_interval=2",
    "--trainer.enable_progress_bar=false",
)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    # Built from a copy, as setuptools leaves files beside the sources.
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", "--no-deps", "--no-index", "--target", folder / "site", wheel, cwd=folder)
    shutil.rmtree(source)
    return folder / "site"


def maskmm(installed: Path, *arguments: str, cwd: Path) -> str:
    command = (sys.executable, installed / "bin" / "maskmm", *arguments)
    return run(*command, cwd=cwd, PYTHONPATH=str(installed))


def test_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    show = "import maskmm, datamodules, tokenizers_vq as t; print(maskmm.__file__, datamodules.__file__, t.__file__)"
    files = run(sys.executable, "-P", "-c", show, cwd=tmp_path, PYTHONPATH=str(installed)).split()
    assert len(files) == 3 and all(Path(file).is_relative_to(installed) for file in files)
    shipped = {str(path.relative_to(ROOT / "configs")) for path in (ROOT / "configs").rglob("*.yaml")}
    root = installed / "maskmm" / "configs"
    assert {str(path.relative_to(root)) for path in root.rglob("*.yaml")} == shipped


def test_help_of_the_installed_command(installed: Path, tmp_path: Path) -> None:
    assert "quickstart" in maskmm(installed, "--help", cwd=tmp_path)


def test_the_installed_command_trains_from_its_own_configs(installed: Path, tmp_path: Path) -> None:
    maskmm(installed, *FIT, cwd=tmp_path)
    assert (tmp_path / "runs/default/config.yaml").is_file()
