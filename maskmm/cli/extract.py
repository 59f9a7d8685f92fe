"""`maskmm extract`: features of many files, chunk by chunk; killed and started again it goes on."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskmm.cli.inference_options import add_inference_options
from maskmm.cli.items import Item, find_items

if TYPE_CHECKING:
    from maskmm.pipeline import Pipeline

MANIFEST = "manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", metavar="RUN", help="checkpoint folder or hub id")
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH",
        help='files, folders, or .jsonl files of samples such as {"id": "a", "image": "a.png", "text": "a seven"}',
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the shards")
    parser.add_argument(
        "--modality", metavar="NAME", help="modality of the files, where their suffix does not tell"
    )
    parser.add_argument(
        "--layers", type=int, nargs="+", default=[-1], metavar="N",
        help="0 = embedding, -1 = last (default); several lie side by side",
    )  # fmt: skip
    parser.add_argument(
        "--pool", default="mean", choices=("mean", "cls", "all", "tokens", "map"),
        help="what a sample becomes: one vector (mean of its tokens, its [CLS] row, mean of all rows), a row a token, "
        "or a map of the tokens' grid (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--format", default="safetensors", choices=("safetensors", "webdataset"),
        help="of the shards (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--shard-size", type=int, default=1024, metavar="N", help="samples in one file (default: %(default)s)"
    )
    add_inference_options(parser)


def run(args: argparse.Namespace) -> int:
    """Extract what is not yet there; returns the exit code."""
    if args.shard_size < 1:
        raise ValueError(f"--shard-size {args.shard_size}, expected at least 1")
    from maskmm.pipeline import load

    pipeline = load(args.checkpoint, device=args.device, precision=args.precision)
    kinds = {name: tokenizer.media for name, tokenizer in pipeline.tokenizers.items()}
    items = find_items(args.paths, kinds, args.modality)
    _settle_manifest(args, pipeline, items)
    starts = range(0, len(items), args.shard_size)
    missing = [start for start in starts if not _is_there(_shard_path(args, start))]
    for start in missing:
        _write(args, pipeline, items, start)
    sys.stdout.write(
        f"{len(missing)} shards written, {len(starts) - len(missing)} were there, {len(items)} samples in {args.out}\n"
    )
    return 0


def _settle_manifest(args: argparse.Namespace, pipeline: Pipeline, items: list[Item]) -> None:
    """Write what the shards are made of, or check that those already there were made of the same."""
    names = "\n".join(json.dumps([item.name, item.values], sort_keys=True) for item in items)
    settings: dict[str, Any] = {
        "checkpoint_sha256": pipeline.sha256,
        "layers": args.layers,
        "pool": args.pool,
        "format": args.format,
        "shard_size": args.shard_size,
        "num_samples": len(items),
        "samples_sha256": hashlib.sha256(names.encode()).hexdigest(),
        "precision": args.precision,
        "is_resampled": args.resample,
    }
    path = args.out / MANIFEST
    # Without a shard, a manifest is all that a run left which failed: nothing was made of what it says.
    if path.exists() and any(file.stem.isdecimal() for file in args.out.iterdir()):
        # Manifests of earlier versions say neither: there was one way.
        found = {"precision": "float32", "is_resampled": False} | _read_manifest(path)
        differing = sorted(key.removesuffix("_sha256") for key in settings if found.get(key) != settings[key])
        if differing:
            raise ValueError(
                f"{args.out} holds features made with another {', '.join(differing)}; give another --out, or remove it"
            )
        return
    args.out.mkdir(parents=True, exist_ok=True)
    partial = args.out / f".{MANIFEST}.partial"
    partial.write_text(json.dumps(settings, indent=2) + "\n")
    partial.replace(path)


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); give another --out, or remove the folder") from error
    if not isinstance(found, dict):
        raise ValueError(
            f"{path} is {found!r:.80}, expected what `maskmm extract` writes; give another --out"
        )
    return found


def _is_there(path: Path) -> bool:
    from maskmm.cli.feature_shards import is_whole

    if path.exists() and not is_whole(path):
        raise ValueError(f"{path} is truncated or damaged; remove it and run this again to write it anew")
    return path.exists()


def _shard_path(args: argparse.Namespace, start: int) -> Path:
    from maskmm.cli.feature_shards import SUFFIXES

    return args.out / f"{start // args.shard_size:06d}{SUFFIXES[args.format]}"


def _write(args: argparse.Namespace, pipeline: Pipeline, items: list[Item], start: int) -> None:
    from maskmm.cli.feature_shards import write_shard
    from maskmm.cli.media_values import named_refusals, read_file, read_value, to_batch

    part = items[start : start + args.shard_size]
    inputs, sources = {}, {}
    for name in part[0].values:
        tokenizer = pipeline.tokenizers[name]
        media = [
            read_file(tokenizer, Path(item.values[name]), args.resample)
            if item.is_file
            else read_value(tokenizer, item.values[name], args.resample)
            for item in part
        ]
        sources[name] = [item.name for item in part]
        inputs[name] = to_batch(tokenizer, media, sources[name])
    with named_refusals(pipeline, inputs, sources):
        features = pipeline.extract_features(inputs, args.layers, args.pool, args.batch_size)
    write_shard(_shard_path(args, start), [item.name for item in part], start, features)
