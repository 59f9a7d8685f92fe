"""`maskmm export`: a Lightning checkpoint to a folder that describes itself; such a folder to transformers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from maskmm.cli.files import check_file
from maskmm.cli.requests import parse_pairs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "checkpoint", type=Path, metavar="CKPT",
        help=".ckpt file of a masked model or a tokenizer; with --format the checkpoint folder of a text encoder",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--tokenizer", action="append", default=[], metavar="NAME=FOLDER",
        help="tokenizer of a modality (default: the folder it was trained with); may be given again",
    )  # fmt: skip
    parser.add_argument(
        "--defaults", type=Path, metavar="FILE",
        help='JSON file of generation settings by target, such as {"image": {"guidance_scale": 3}}',
    )  # fmt: skip
    parser.add_argument(
        "--config", type=Path, help="config.yaml of a tokenizer's run (default: the run's own)"
    )
    parser.add_argument(
        "--format", choices=("maskmm", "bert", "modernbert"), default="maskmm",
        help="bert, modernbert: a folder that transformers loads",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    if args.format != "maskmm":
        _to_transformers(args)
        return 0
    from maskmm.interop.lightning_checkpoint import export_lightning, export_tokenizer, read_lightning

    checkpoint = read_lightning(args.checkpoint)
    if "maskmm" in checkpoint:
        folders = {name: given[-1] for name, given in parse_pairs(args.tokenizer, "--tokenizer").items()}
        export_lightning(args.checkpoint, args.out, folders, _defaults(args.defaults))
    elif any(key.startswith("tokenizer.") for key in checkpoint["state_dict"]):
        export_tokenizer(args.checkpoint, args.out, args.config)
    else:
        raise ValueError(
            f"{args.checkpoint} holds neither a masked model nor a tokenizer; was it trained by maskmm?"
        )
    sys.stdout.write(f"{args.out}\n")
    return 0


def _to_transformers(args: argparse.Namespace) -> None:
    given = [name for name in ("tokenizer", "defaults", "config") if getattr(args, name)]
    if given:
        raise ValueError(f"--{given[0]} is of no use with --format {args.format}; leave it out")
    from maskmm.interop import export_transformers
    from maskmm.pipeline import load

    export_transformers(load(args.checkpoint), args.out, args.format)
    sys.stdout.write(f"{args.out}\n")


def _defaults(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    check_file(path, "a JSON file")
    try:
        defaults = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(defaults, dict) or not all(isinstance(value, dict) for value in defaults.values()):
        raise ValueError(f'{path}: expected settings by target, such as {{"image": {{"guidance_scale": 3}}}}')

    from maskmm.pipeline.settings import GenerationSettings

    for settings in defaults.values():
        GenerationSettings.layered(settings)
    return defaults
