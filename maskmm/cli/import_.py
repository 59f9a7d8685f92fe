"""`maskmm import`: a public model to a folder that describes itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "source", metavar="SOURCE",
        help="folder or hub id of a BERT, RoBERTa, ModernBERT, EuroBERT, NeoBERT or BEiT; .pt file of a BEATs",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER",
        help="folder with the text vocabulary (default: the model's own)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import; returns the exit code."""
    from maskmm.checkpoint import save_checkpoint
    from maskmm.interop import read_public

    pipeline, report = read_public(args.source, args.tokenizer)
    save_checkpoint(args.out, pipeline.model, pipeline.tokenizers)
    sys.stdout.write("\n".join([*report.lines(), str(args.out)]) + "\n")
    return 0
