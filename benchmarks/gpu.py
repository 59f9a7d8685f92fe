"""All GPU figures in one run, most important first; a row is written as soon as it is known.

python -m benchmarks.gpu [--out FILE] [--seconds 460] [--only SECTION ...] [--tiny]

Each section runs in a process of its own with a limit of its own, so that one which fails, hangs or runs out of memory
costs nothing but itself. A section that fails compiled as one graph is tried again eager, and its rows say so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Section -> module under benchmarks.on_gpu, and the seconds it may take.
_SECTIONS = {
    "ceilings": ("ceilings", 40),
    "training": ("training", 230),
    "padded": ("padded", 150),
    "parity": ("parity", 40),
    "lookup": ("lookup", 30),
    "decoding": ("decoding", 90),
    "flattened": ("flattened", 90),
    "latency": ("decoding", 70),
    "cudnn": ("cudnn", 80),
    "variants": ("variants", 120),
}
_LEAST = 20  # seconds under which no section is started
_COMPILATIONS = ("whole", "none")
_TIME_OUT = "out of time"


def main() -> int:
    """Run the sections, or one of them in this process."""
    options = _parse()
    if options.section:
        return _run_section(options)
    if options.out.exists():
        options.out.unlink()
    _write(options.out, {"row": "environment", **_environment(options)})
    start, failed = time.monotonic(), []
    for name in options.only or _SECTIONS:
        for compilation in _COMPILATIONS[_COMPILATIONS.index(options.compilation) :]:
            left = options.seconds - (time.monotonic() - start)
            if left < _LEAST:
                _write(options.out, {"row": f"section {name}", "skipped": f"{left:.0f} s are left"})
                break
            reason = _child(name, compilation, min(left, _SECTIONS[name][1]), options)
            if reason is None:
                break
            failed.append(f"{name} ({compilation})")
            _write(options.out, {"row": f"section {name}", "failed": reason, "compilation": compilation})
            if reason == _TIME_OUT:
                break
    seconds = round(time.monotonic() - start)
    _write(options.out, {"row": "end", "seconds": seconds, "failed": failed})
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"), help="file of JSON lines")
    parser.add_argument("--seconds", type=float, default=460, help="for all sections together")
    parser.add_argument("--only", nargs="+", choices=list(_SECTIONS), help="sections to run")
    parser.add_argument("--tiny", action="store_true", help="toy sizes, on a CPU where there is no GPU")
    parser.add_argument("--compilation", choices=_COMPILATIONS, default="whole", help="what is tried first")
    parser.add_argument("--commit", help="where the copy has no git history")
    parser.add_argument("--section", choices=list(_SECTIONS), help=argparse.SUPPRESS)
    return parser.parse_args()


def _child(name: str, compilation: str, seconds: float, options: argparse.Namespace) -> str | None:
    """Run a section; the end of what it said where it failed."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--section", name, "--out", str(options.out)]
    command += ["--compilation", compilation] + ["--tiny"] * options.tiny
    # A file, not a pipe: processes that compile outlive a section that is stopped, and would hold the pipe open.
    with tempfile.TemporaryFile("w+") as said:
        try:
            status = subprocess.run(command, timeout=seconds, check=False, stderr=said).returncode
        except subprocess.TimeoutExpired:
            status = None
        said.seek(0)
        text = said.read()
    print(text, file=sys.stderr, flush=True)
    if status is None:
        return _TIME_OUT
    return f"status {status}: {text[-800:]}" if status else None


def _run_section(options: argparse.Namespace) -> int:
    import torch

    from benchmarks.on_gpu.setting import Row, Setting

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.tiny:
        raise SystemExit("no GPU: run with --tiny to test the script")
    setting = Setting(device, options.tiny, options.compilation)
    module = import_module(f"benchmarks.on_gpu.{_SECTIONS[options.section][0]}")
    section: Callable[[Setting], Iterator[Row]] = getattr(module, options.section)
    start = time.monotonic()
    for row in section(setting):
        extra = {"compilation": setting.compilation, "at_s": round(time.monotonic() - start, 1)}
        _write(options.out, row | extra)
    return 0


def _write(path: Path, row: dict[str, Any]) -> None:
    line = json.dumps(row)
    with path.open("a") as file:
        file.write(line + "\n")
    print(line, flush=True)


def _environment(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    smi = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,clocks.sm,clocks.mem,power.limit",
        "--format=csv,noheader",
    ]
    has_gpu = torch.cuda.is_available()
    hardware = (
        subprocess.run(smi, capture_output=True, text=True, check=False).stdout.strip() if has_gpu else "CPU"
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": hardware,
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "commit": options.commit or git.stdout.strip() or "not told",
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    } | {name: _version(name) for name in ("torch", "triton", "transformers")}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
