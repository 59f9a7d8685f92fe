"""`maskmm quickstart`: tokenizers, one shared model, generation, features, a gallery and scores."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/quickstart"),
        metavar="DIR",
        help="where everything goes; started again on the same folder, it continues (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="N",
        help="splits, weights and masks; several run one after the other and are pooled (default: 0)",
    )
    parser.add_argument(
        "--toy",
        action="store_true",
        help="about a minute: shows that everything runs, the scores mean nothing",
    )


def run(options: argparse.Namespace) -> int:
    """Run all stages that are not done yet, and show the scores."""
    from maskmm.cli.quickstart.resources import measured

    with measured() as startup:
        from maskmm.cli.quickstart.chain import stages
        from maskmm.cli.quickstart.results import show
        from maskmm.cli.quickstart.settings import FULL, TOY, QuickstartSettings
        from maskmm.cli.quickstart.stage import run_stages
        from maskmm.evaluation.optional import require

        # What the last stages need is missed now, not after the training.
        for module in ("sklearn", "espeakng_loader", "pocketsphinx"):
            require(module, "the quickstart")

    settings = QuickstartSettings.read([FULL, TOY] if options.toy else [FULL])
    is_single = len(options.seeds) == 1
    folders = [options.out if is_single else options.out / f"seed_{seed}" for seed in options.seeds]
    for seed, folder in zip(options.seeds, folders):
        folder.mkdir(parents=True, exist_ok=True)
        # The configs name their paths relative to this folder, as they do for `maskmm fit` in it.
        with contextlib.chdir(folder):
            run_stages(stages(settings, seed, startup))
    show(folders, options.out)
    return 0
