"""The front of the command line: verbs, help without torch, plugins and how errors end."""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
from types import ModuleType

import pytest
from safetensors import SafetensorError

from maskmm.cli import main as front
from maskmm.cli.errors import guarded, one_line

SHOW_HELP = """
import sys
from maskmm.cli.main import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert stop.code == 0, stop.code
heavy = sorted({{"torch", "lightning", "numpy"}} & set(sys.modules))
assert not heavy, heavy
"""
INSTALLED = [
    verb for verb in front.VERBS if __import__("importlib.util").util.find_spec(f"maskmm.cli.{verb}")
]


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in front.VERBS)])
def test_help_answers_without_torch(arguments: list[str]) -> None:
    code = SHOW_HELP.format(arguments=arguments)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("usage: maskmm")


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A verb of the test's own."""
    module = ModuleType("maskmm.cli.quickstart")
    module.add_arguments = lambda parser: parser.add_argument("--number", type=int)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_an_unknown_verb_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        front.main(["fitt"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "fitt" in error and error.count("\n") == 1


def test_a_wrong_option_is_one_line(verb: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        front.main(["quickstart", "--number", "three"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("maskmm: error: argument --number: ") and error.count("\n") == 1


def test_a_verb_gets_its_options(verb: ModuleType) -> None:
    seen: list[argparse.Namespace] = []

    def run(options: argparse.Namespace) -> int:
        seen.append(options)
        return 5

    verb.run = run  # type: ignore[attr-defined]
    assert front.main(["quickstart", "--number", "3"]) == 5
    assert seen[0].number == 3 and seen[0].plugin == [] and not seen[0].debug


def test_value_error_is_one_line_and_exit_code_2(
    verb: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(options: argparse.Namespace) -> int:
        raise ValueError("num_steps=0,\n  expected at least 1")

    verb.run = run  # type: ignore[attr-defined]
    assert front.main(["quickstart"]) == 2
    assert capsys.readouterr().err == "maskmm: error: num_steps=0, expected at least 1\n"
    assert front.main(["quickstart", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_plugin_is_imported_from_the_working_directory(
    verb: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "my_plugin_of_the_test.py").write_text("LOADED = True\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    verb.run = lambda options: 0 if "my_plugin_of_the_test" in sys.modules else 1  # type: ignore[attr-defined]
    assert front.main(["quickstart", "--plugin", "my_plugin_of_the_test"]) == 0
    assert front.main(["quickstart", "--plugin", "no_such_plugin"]) == 2
    assert "no_such_plugin" in capsys.readouterr().err


def test_interruption_is_exit_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    def interrupted_in_lightning() -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    assert guarded(interrupted, is_debug=False) == 130
    assert guarded(interrupted_in_lightning, is_debug=False) == 130
    assert capsys.readouterr().err == "maskmm: interrupted\n" * 2


def test_what_the_file_system_refuses_is_one_line(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    def no_file() -> int:
        return len((tmp_path / "none").read_text())

    assert guarded(no_file, is_debug=False) == 2
    assert (
        capsys.readouterr().err
        == f"maskmm: error: {tmp_path / 'none'}: No such file or directory; expected a path that can be read or "
        "written here\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.wav"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> int:
        raise error

    assert guarded(full, is_debug=False) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("maskmm: error: ") and shown.count("\n") == 1
    assert "No space left on device" in shown and shown.endswith(
        "free some space, or write to another disk\n"
    )


def test_other_errors_are_raised() -> None:
    def defect() -> int:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        guarded(defect, is_debug=False)


def test_message_of_a_data_worker_is_its_last_line() -> None:
    message = (
        "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback:\n ...\nValueError: bad\n"
    )
    assert one_line(ValueError(message)) == "bad"
