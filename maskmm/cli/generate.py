"""`maskmm generate`: any modalities in, any out, as files with a manifest."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskmm.cli.inference_options import add_inference_options
from maskmm.cli.requests import Request, parse_pairs, read_requests, requests_of_values

if TYPE_CHECKING:
    from maskmm.pipeline import Pipeline

MANIFEST = "manifest.jsonl"
_SHORT = {"text": "TEXT", "image": "FILE", "speech": "FILE"}
_SETTINGS = {
    "num_steps": (int, "decoding steps of each target"),
    "guidance_scale": (float, "s in u + s (c - u); 1 = no guidance"),
    "temperature": (float, "of the logits; 0 = most probable code"),
    "top_k": (int, "keep the k most probable codes"),
    "top_p": (float, "keep the most probable codes up to this probability"),
    "schedule": (str, "cosine, linear or arccos"),
    "order": (str, "confidence or random"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", metavar="RUN", help="checkpoint folder or hub id")
    parser.add_argument(
        "--to",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="modalities to generate, in order",
    )
    for name, metavar in _SHORT.items():
        parser.add_argument(
            f"--{name}",
            nargs="+",
            action="extend",
            default=[],
            metavar=metavar,
            help=f"inputs of the modality called {name!r}",
        )
    parser.add_argument(
        "--input", action="append", default=[], metavar="NAME=VALUE",
        help="one input of any modality: the text itself, or a file's path (may be given again)",
    )  # fmt: skip
    parser.add_argument("--requests", type=Path, metavar="FILE", help="JSONL file, one request a line")
    parser.add_argument("--num-samples", type=int, metavar="N", help="how many, where there are no inputs")
    parser.add_argument(
        "--out", type=Path, default=Path("generated"), metavar="DIR",
        help="folder for the files (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same files (default: %(default)s)"
    )
    for name, (kind, help_) in _SETTINGS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            metavar="NAME" if kind is str else "X" if kind is float else "N",
            help=f"{help_} (default: the checkpoint's)",
        )
    parser.add_argument(
        "--length", action="append", default=[], metavar="NAME=TOKENS",
        help="length of a target in tokens (default: sampled by the model)",
    )  # fmt: skip
    add_inference_options(parser)


def run(args: argparse.Namespace) -> int:
    """Generate and write; returns the exit code."""
    requests = _requests(args)
    from maskmm.pipeline import load

    pipeline = load(args.checkpoint, device=args.device, precision=args.precision)
    lines = write_generated(pipeline, requests, args.out, args.checkpoint, args.batch_size, args.resample)
    sys.stdout.write(f"{len(lines)} files and {MANIFEST} in {args.out}\n")
    return 0


def _requests(args: argparse.Namespace) -> list[Request]:
    values = parse_pairs(args.input, "--input")
    for name in _SHORT:
        if getattr(args, name):
            values.setdefault(name, [])[:0] = getattr(args, name)
    lengths = {}
    for name, given in parse_pairs(args.length, "--length").items():
        if not given[-1].isdecimal():
            raise ValueError(f"--length {name}={given[-1]}, expected a number of tokens")
        lengths[name] = int(given[-1])
    settings = {name: getattr(args, name) for name in _SETTINGS if getattr(args, name) is not None}
    default = Request({}, tuple(args.to), args.seed, 0, settings, lengths)
    if args.requests is None:
        return requests_of_values(values, args.num_samples, default)
    if values or args.num_samples is not None:
        raise ValueError(
            "--requests was given beside inputs or --num-samples; write them into the file instead"
        )
    return read_requests(args.requests, default)


def write_generated(
    pipeline: Pipeline,
    requests: list[Request],
    out: Path,
    checkpoint: str,
    batch_size: int,
    is_resampled: bool = False,
) -> list[dict[str, Any]]:
    """Generate every request and write `<number>.<modality>.<suffix>` files and the manifest.

    Returns:
        the manifest's lines, one a file: file, target, request, seed, sample_id, settings, checkpoint and its hash,
        precision.

    Raises:
        ValueError: a request that the pipeline refuses; nothing is written then but earlier groups' files.
    """
    from maskmm.cli.media_values import suffix, write_value

    groups: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault(request.group(), []).append(number)
    out.mkdir(parents=True, exist_ok=True)
    lines: list[tuple[int, dict[str, Any]]] = []
    for numbers in groups.values():
        output = _generate(pipeline, [requests[number] for number in numbers], batch_size, is_resampled)
        for name in output:
            tokenizer = pipeline.tokenizers[name]
            for number, media in zip(numbers, output[name]):
                request, file = requests[number], f"{number:06d}.{name}{suffix(tokenizer)}"
                write_value(tokenizer, out / file, media)
                line = {"file": file, "target": name, "inputs": request.inputs, "targets": request.targets}
                line |= {"seed": request.seed, "sample_id": request.sample_id}
                line |= {"lengths": request.lengths, "settings": output.settings[name].to_dict()}
                line |= {"checkpoint": checkpoint, "sha256": pipeline.sha256, "precision": pipeline.precision}
                lines.append((number, line))
    ordered = [line for _, line in sorted(lines, key=lambda entry: entry[0])]
    partial = out / f".{MANIFEST}.partial"
    partial.write_text("".join(json.dumps(line) + "\n" for line in ordered), encoding="utf-8")
    partial.replace(out / MANIFEST)
    return ordered


def _generate(pipeline: Pipeline, requests: list[Request], batch_size: int, is_resampled: bool) -> Any:
    """One call for requests of one group."""
    from maskmm.cli.media_values import named_refusals, read_value, to_batch
    from maskmm.pipeline.inputs import check_names

    first = requests[0]
    if not first.targets:
        raise ValueError(f"no targets: give --to with some of {sorted(pipeline.tokenizers)}")
    check_names(list(first.inputs), pipeline.tokenizers, "inputs")
    inputs, sources = {}, {}
    for name in first.inputs:
        tokenizer = pipeline.tokenizers[name]
        values = [request.inputs[name] for request in requests]
        media = [read_value(tokenizer, value, is_resampled) for value in values]
        inputs[name] = to_batch(tokenizer, media, values)
        if tokenizer.media != "text":
            sources[name] = values
    with named_refusals(pipeline, inputs, sources):
        return pipeline.generate(
            inputs,
            first.targets,
            seed=first.seed,
            num_samples=len(requests),
            sample_id=[request.sample_id for request in requests],
            lengths={name: [request.lengths[name] for request in requests] for name in first.lengths},
            batch_size=batch_size,
            **first.settings,
        )
