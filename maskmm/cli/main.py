"""The one entry of the `maskmm` command: finds the verb, parses its options, then imports what it needs."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import maskmm
from maskmm.cli.errors import guarded
from maskmm.cli.logs import settle_logging
from maskmm.cli.parsing import OneLineParser
from maskmm.cli.threads import MOST_THREADS, settle_threads

LIGHTNING_VERBS = {
    "fit": "train a tokenizer or a masked model; the config (-c FILE) names the classes",
    "validate": "measure a checkpoint (--ckpt_path FILE) on the validation data",
    "test": "measure a checkpoint on the test data",
    "predict": "run a checkpoint over data: features of a masked model, codes of a tokenizer",
}
VERBS = {
    "quickstart": "train tokenizers and one shared model on digits, captions and speech; gallery and scores",
    "generate": "any modalities in, any out, as files with a manifest",
    "extract": "features of media to safetensors or webdataset shards",
    "evaluate": "one table of named metrics, each with sample count, interval and seed",
    "import": "weights of a known public model to a folder that describes itself",
    "export": "a Lightning checkpoint to a folder that describes itself, or a folder to transformers",
    "doctor": "check a config, its data and its tokenizers before an expensive run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    Args:
        argv: arguments after the program's name; the process's own where not given.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    verb = _front_parser().parse_args(arguments[:1]).verb
    if verb in LIGHTNING_VERBS:
        # LightningCLI prints the help of its own verbs, with the options of the classes that a config names.
        options, rest = _verb_parser(verb, add_help=False).parse_known_args(arguments[1:])
        run = functools.partial(_run_lightning, verb, rest)
    else:
        # A module cannot be called as the keyword is.
        module = importlib.import_module(f"maskmm.cli.{'import_' if verb == 'import' else verb}")
        parser = _verb_parser(verb)
        module.add_arguments(parser)
        options = parser.parse_args(arguments[1:])
        run = functools.partial(module.run, options)
    return guarded(functools.partial(_start, run, options, verb), options.debug)


def _start(run: functools.partial[int], options: argparse.Namespace, verb: str) -> int:
    # Two million parameters: waking a second thread for each product takes longer than its half of the work.
    settle_threads(1 if verb == "quickstart" else MOST_THREADS)
    settle_logging()
    for name in options.plugin:
        _import_plugin(name)
    return run()


def _run_lightning(verb: str, arguments: list[str]) -> int:
    from maskmm.cli.lightning import run_cli

    run_cli([verb, *arguments])
    return 0


def _import_plugin(name: str) -> None:
    """Import a user's module from the working directory or the environment."""
    here = str(Path.cwd())
    if here not in sys.path:
        # Last, so that a folder of the user's cannot shadow an installed package.
        sys.path.append(here)
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--plugin {name}: {error}; expected a module in {here} or an installed package"
        ) from error


def _front_parser() -> OneLineParser:
    verbs = LIGHTNING_VERBS | VERBS
    lines = "\n".join(f"  {verb:<12}{help_}" for verb, help_ in verbs.items())
    parser = OneLineParser(
        prog="maskmm",
        usage="maskmm VERB [options]",
        description=f"Any media to tokens, one shared masked transformer, any media out.\n\nverbs:\n{lines}",
        epilog="maskmm VERB --help lists the options of a verb.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", metavar="VERB", choices=tuple(verbs), help="one of the above")
    parser.add_argument("--version", action="version", version=f"maskmm {maskmm.__version__}")
    return parser


def _verb_parser(verb: str, add_help: bool = True) -> OneLineParser:
    description = (LIGHTNING_VERBS | VERBS)[verb]
    parser = OneLineParser(
        prog=f"maskmm {verb}", description=description, add_help=add_help, allow_abbrev=add_help
    )
    parser.add_argument(
        "--plugin",
        metavar="MODULE",
        action="append",
        default=[],
        help="import this module first: your own tokenizers, maskings and so on (may be given again)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
