"""Options of every verb that puts media through a trained model."""

from __future__ import annotations

import argparse


def add_inference_options(parser: argparse.ArgumentParser) -> None:
    """`--batch-size`, `--resample`, `--device` and `--precision`."""
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N",
        help="samples at once; changes no result (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--resample", action="store_true",
        help="bring sound and video of another rate to the tokenizer's, instead of refusing them",
    )  # fmt: skip
    parser.add_argument("--device", help="cpu (default), cuda, cuda:1 ...")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "int8"),
        help="int8: up to twice as fast on CPUs for a wide model, for 2 %% of error (default: %(default)s)",
    )  # fmt: skip
