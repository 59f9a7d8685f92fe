"""The stages after the last fit: export, evaluation, scores with costs; and the table that is shown at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from datamodules.corpora.digits import captions
from maskmm.cli.quickstart.data import corpus
from maskmm.cli.quickstart.fits import last_checkpoint
from maskmm.cli.quickstart.resources import Cost
from maskmm.cli.quickstart.settings import QuickstartSettings
from maskmm.cli.quickstart.stage import Receipt
from maskmm.evaluation.cost import cost_scores
from maskmm.evaluation.digits import evaluate_digits
from maskmm.evaluation.gallery import write_gallery
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Scores, pool
from maskmm.evaluation.table import write_table
from maskmm.interop.lightning_checkpoint import export_lightning
from maskmm.pipeline import load

MODEL = Path("model")
EVALUATION = Path("evaluation.json")
GALLERY = Path("gallery")
SCORES = Path("scores.json")
POOLED = Path("scores_pooled.json")


def export_model(settings: QuickstartSettings) -> None:
    """The folder that `maskmm.load` reads."""
    export_lightning(last_checkpoint("model"), MODEL, generation_defaults=settings.generation)


def evaluate(settings: QuickstartSettings, seed: int) -> None:
    """Generate and judge; the figures, still without costs, and the gallery."""
    scores, samples = evaluate_digits(
        load(MODEL), corpus(seed), captions, seed, settings.sizes, settings.directions
    )
    write_gallery(GALLERY, samples, scores)
    scores.write(EVALUATION)


def write_scores(receipts: Sequence[Receipt], startup: Cost, seed: int) -> None:
    """The figures of the evaluation, followed by what the whole run has cost.

    Args:
        receipts: of all stages before.
        startup: of the imports.
        seed: of the run.
    """
    evaluation = Scores.read(EVALUATION)
    total = sum((receipt.cost for receipt in receipts), startup)
    is_interrupted = any(receipt.num_starts > 1 for receipt in receipts)
    note = "interrupted; a process that was killed is left out" if is_interrupted else ""
    rows = cost_scores(total.wall_s, total.cpu_s, total.peak_memory_bytes, (seed,), note=note)
    stages = {"startup": asdict(startup)} | {
        r.stage: asdict(r.cost) | {"num_starts": r.num_starts} for r in receipts
    }
    settings = evaluation.settings | {"stages": stages}
    replace(evaluation, rows=(*evaluation.rows, *rows), settings=settings).write(SCORES)


def show(folders: Sequence[Path], out: Path) -> None:
    """Show the table of one seed; pool several first."""
    tables = [Scores.read(folder / SCORES) for folder in folders]
    scores = tables[0]
    if len(tables) > 1:
        scores = pool(tables, Provenance.here())
        scores.write(out / POOLED)
    write_table(scores, sys.stdout)
