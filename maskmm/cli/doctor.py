"""`maskmm doctor`: checks a config, its data and its tokenizers, or a checkpoint, before an expensive run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskmm.cli.errors import USER_ERROR, one_line

if TYPE_CHECKING:
    from maskmm.cli.checks import Finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "file", metavar="FILE", help="training config (.yaml), checkpoint folder or tokenizer folder"
    )
    parser.add_argument(
        "--config",
        "-c",
        action="append",
        default=[],
        metavar="FILE",
        help="further configs over the first one",
    )


def run(args: argparse.Namespace) -> int:
    """Check and show a table; returns 0 where all is well, else 2."""
    path = Path(args.file)
    if not path.is_dir():
        findings = _config_findings([args.file, *args.config])
    else:
        findings = _tokenizer_findings(path) if _holds_tokenizer(path) else _checkpoint_findings(path)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        verdict = "ok  " if finding.is_ok else "FAIL"
        sys.stdout.write(f"{verdict}  {finding.name:<{width}}  {finding.detail}\n")
    return 0 if all(finding.is_ok for finding in findings) else USER_ERROR


def _holds_tokenizer(folder: Path) -> bool:
    from tokenizers_vq.contract.tokenizer import read_spec

    try:
        read_spec(folder)
    except ValueError:
        return False
    return True


def _tokenizer_findings(folder: Path) -> list[Finding]:
    """Of a tokenizer alone: random codes through media and back."""
    from maskmm.cli.checks import Finding, check_round_trip, random_codes, tokenizer_findings
    from tokenizers_vq.contract import load_tokenizer

    try:
        tokenizer = load_tokenizer(folder)
    except ValueError as error:
        return [Finding("tokenizer", False, one_line(error))]
    name = folder.name
    codes = random_codes(tokenizer)
    return [*tokenizer_findings({name: tokenizer}), check_round_trip(name, tokenizer, codes, is_real=False)]


def _checkpoint_findings(folder: Path) -> list[Finding]:
    from maskmm.cli.checks import Finding, check_generation, check_round_trip, tokenizer_findings
    from maskmm.pipeline import load

    try:
        pipeline = load(folder)
    except ValueError as error:
        return [Finding("checkpoint", False, one_line(error))]
    num_weights = sum(p.numel() for p in pipeline.model.parameters())
    findings = [Finding("checkpoint", True, f"{num_weights} weights, hash {(pipeline.sha256 or '')[:16]}")]
    findings += tokenizer_findings(pipeline.tokenizers)
    try:
        generated, codes = check_generation(pipeline)
    except ValueError as error:
        return [*findings, Finding("generation", False, one_line(error))]
    findings += generated
    return findings + [
        check_round_trip(name, pipeline.tokenizers[name], of_name, is_real=False)
        for name, of_name in codes.items()
    ]


def _config_findings(configs: list[str]) -> list[Finding]:
    from maskmm.cli.building import build
    from maskmm.cli.checks import Finding

    try:
        model, data, sources = build(configs)
    except ValueError as error:
        return [Finding("config", False, one_line(error))]
    findings = [Finding("config", True, f"{type(model).__name__} on {type(data).__name__}")]
    try:
        batch = next(iter(data.train_dataloader()))
    except ValueError as error:
        return [*findings, Finding("data", False, one_line(error))]
    findings.append(Finding("data", True, _describe(batch)))
    try:
        return findings + (
            _media_findings(model, batch) if isinstance(batch, dict) else _token_findings(data, sources)
        )
    except ValueError as error:
        return [*findings, Finding("tokenizers", False, one_line(error))]


def _media_findings(model: Any, batch: dict[str, Any]) -> list[Finding]:
    """Of a tokenizer's training."""
    from maskmm.cli.checks import NUM_SAMPLES, check_reconstruction, tokenizer_findings

    tokenizer, lengths = model.tokenizer.eval(), batch.get("lengths")
    media = batch["media"][:NUM_SAMPLES]
    return [
        *tokenizer_findings({"media": tokenizer}),
        check_reconstruction(tokenizer, media, None if lengths is None else lengths[:NUM_SAMPLES]),
    ]


def _token_findings(data: Any, sources: list[Any]) -> list[Finding]:
    """Of a masked model's training: the tokenizers it names, against the codes it will read."""
    from datamodules.store import TokenStore
    from datamodules.tokens import PairedTokens
    from maskmm.cli.checks import (
        NUM_SAMPLES,
        check_fingerprint,
        check_round_trip,
        random_codes,
        tokenizer_findings,
    )
    from tokenizers_vq.contract import load_tokenizer

    tokenizers = {source.name: load_tokenizer(source.tokenizer) for source in sources}
    findings = tokenizer_findings(tokenizers)
    if not isinstance(data, PairedTokens):
        return findings + [
            check_round_trip(name, tokenizer, random_codes(tokenizer), is_real=False)
            for name, tokenizer in tokenizers.items()
        ]
    store, tokens = TokenStore.open(data.store / "train", checks_codes=True), data.batches("train").tokens(0)
    samples = tokens.samples(data.modalities)[:NUM_SAMPLES]
    for name, tokenizer in tokenizers.items():
        findings.append(check_fingerprint(name, tokenizer, store.items[name].fingerprint))
        codes = [segment for sample in samples for segment in sample.get(name, [])]
        findings.append(check_round_trip(name, tokenizer, codes, is_real=True))
    return findings


def _describe(batch: Any) -> str:
    if isinstance(batch, dict):
        return ", ".join(f"{name} of shape {tuple(value.shape)}" for name, value in batch.items())
    rows = batch.inputs.num_rows
    return (
        f"a step has {batch.inputs.num_samples} samples, {rows} tokens, {int(batch.is_target.sum())} targets"
    )
