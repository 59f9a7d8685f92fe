"""Rate and distortion of the tokenizers on held-out media, beside what a user would otherwise take.

python -m benchmarks.tokenizers [--media image video audio motion] [--quick] [--cpu-seconds 500] [--seed 0]
    [--threads 1] [--only TEXT ...] [--out FILE.jsonl] [--save FOLDER]

One JSON line a row as it comes; `python -m benchmarks.rate_distortion.table FILE.jsonl` makes the tables. Every
tokenizer is trained here, within the CPU seconds of its row.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import torch

from benchmarks.clock import Clock
from benchmarks.environment import environment
from benchmarks.rate_distortion.budget import Budget

Row = dict[str, Any]
MEDIA = ("image", "video", "audio", "motion")
_PACKAGES = ("lightning", "torchmetrics", "pillow", "scikit-learn")


def rows_of(medium: str) -> Callable[[Budget], Iterable[Row]]:
    """`rows` of benchmarks/rate_distortion/<medium>.py."""
    rows: Callable[[Budget], Iterable[Row]] = import_module(f"benchmarks.rate_distortion.{medium}").rows
    return rows


def measure(
    media: Iterable[str], budget: Budget, find: Callable[[str], Callable[[Budget], Iterable[Row]]]
) -> Iterator[Row]:
    """Rows of all media; of one that fails a row {"medium", "case", "failed": why}, and the others go on.

    Args:
        media: names, see MEDIA.
        budget: of each row.
        find: the function that makes a medium's rows.
    """
    for medium in media:
        try:
            yield from find(medium)(budget)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            logging.getLogger(__name__).exception("%s failed", medium)
            yield {"medium": medium, "case": medium, "failed": f"{type(error).__name__}: {error}"}


def write(rows: Iterable[Row], shared: dict[str, str], files: Iterable[TextIO]) -> bool:
    """Write each row with what all share as one JSON line, at once; returns whether no medium failed."""
    files, is_whole = list(files), True
    for row in rows:
        is_whole &= "failed" not in row
        for file in files:
            file.write(json.dumps(row | shared) + "\n")
            file.flush()
    return is_whole


def main() -> int:
    """Command line; exit status 1 where a medium failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--media", nargs="+", choices=MEDIA, default=list(MEDIA))
    parser.add_argument("--quick", action="store_true", help="a few steps, few samples: tries the path")
    parser.add_argument("--cpu-seconds", type=float, default=500.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], help="rows whose case holds one of these texts")
    parser.add_argument("--out", type=Path, help="file that the JSON lines go to as well")
    parser.add_argument("--save", type=Path, help="folder that the trained tokenizers go to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    shared = environment(Clock("cpu"), _PACKAGES) | {
        "budget_cpu_s": "quick" if options.quick else str(options.cpu_seconds),
        "seed": str(options.seed),
        "threads": str(options.threads),
    }
    budget = Budget(options.cpu_seconds, options.seed, options.quick, options.save, tuple(options.only))
    rows = measure(options.media, budget, rows_of)
    if options.out is None:
        return 0 if write(rows, shared, [sys.stdout]) else 1
    with options.out.open("w") as out:
        return 0 if write(rows, shared, [sys.stdout, out]) else 1


if __name__ == "__main__":
    sys.exit(main())
