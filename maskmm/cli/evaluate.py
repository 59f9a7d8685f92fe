"""`maskmm evaluate`: one table of named metrics of a checkpoint."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", metavar="RUN", help="checkpoint folder or hub id")
    parser.add_argument("--corpus", default="digits", choices=("digits",), help="real media to judge against")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR",
        help="folder that keeps the synthesised clips; the quickstart's is its folder's cache (default: none is kept)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="of the corpus's split, the one the checkpoint was trained with, and of everything generated "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--num-samples", type=int, metavar="N", help="of each generated kind (default: as in the quickstart)"
    )
    parser.add_argument(
        "--num-held-out", type=int, metavar="N", help="most held-out images and clips (default: all)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("scores.json"), metavar="FILE",
        help="for the scores (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu (default), cuda, cuda:1 ...")


def run(args: argparse.Namespace) -> int:
    """Measure as the quickstart does, write and show the scores; returns the exit code."""
    from datamodules.corpora.digits import captions
    from datamodules.corpora.digits.corpus import DigitsCorpus
    from maskmm.cli.quickstart.settings import FULL, QuickstartSettings
    from maskmm.evaluation.digits import evaluate_digits
    from maskmm.evaluation.table import write_table
    from maskmm.pipeline import load

    pipeline = load(args.checkpoint, device=args.device)
    quickstart = QuickstartSettings.read([FULL])
    kinds = ("text_to_image", "text_to_speech", "unconditional", "inpainting")
    chosen = {} if args.num_samples is None else dict.fromkeys(kinds, args.num_samples)
    sizes = replace(quickstart.sizes, **chosen, held_out=args.num_held_out)
    depth = pipeline.model.config.depth
    layers = [some for some in quickstart.directions.probe_layers if max(some) <= depth]
    directions = replace(quickstart.directions, probe_layers=tuple(layers))
    corpus = DigitsCorpus(args.seed, args.cache)
    scores, _ = evaluate_digits(pipeline, corpus, captions, args.seed, sizes, directions)
    scores.write(args.out)
    write_table(scores, sys.stdout)
    sys.stdout.write(f"{args.out}\n")
    return 0
