"""LightningCLI with class names in the config, a shared list of modalities, and one-line errors.

This module imports torch and Lightning; `maskmm.cli.main` imports it only when one of its verbs runs.
"""

from __future__ import annotations

import argparse
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from maskmm.cli.checkpoint_io import WholeCheckpoints
from maskmm.cli.config_errors import shorten
from maskmm.cli.configs import find_config
from maskmm.cli.files import check_file
from maskmm.cli.precision import choose_precision
from maskmm.cli.processes import check_processes
from maskmm.cli.progress import StepProgressBar
from tokenizers_vq.contract import ModalitySource

_CHECKPOINT_WORDS = ("best", "last", "hpc")
_LOG = logging.getLogger(__name__)
_MEASURING = ("validate", "test", "predict")
_CONFIG_FLAGS = ("-c", "--config")
_MISFIT = "Error(s) in loading state_dict"
"""How torch begins, whatever the module."""
_EXPECTED_WARNINGS = (
    "LightningCLI's args parameter",  # the verb passes them on, on purpose
    ".*LeafSpec",  # Lightning 2.6 on torch 2.14
    "Checkpoint directory .* exists and is not empty",  # a run that goes on finds its own
    # validate and test take the averaged weights, which the checkpoint holds as the weights.
    "You're using the WeightAveraging callback, but loading",
)


class _SaveFitConfig(SaveConfigCallback):
    """Says in the run's folder how its checkpoints were trained.

    The config is written with the first checkpoint of a fit, or at its end: a fit that fails before, and measuring,
    leave the folder's config alone.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Nothing yet: data or the first step may still fail."""

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Before the first checkpoint, which this config belongs to."""
        self._save_once(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where nothing was checkpointed."""
        self._save_once(trainer)

    def _save_once(self, trainer: Trainer) -> None:
        if self.already_saved:
            return
        self.already_saved = True
        folder = trainer.log_dir  # asked on every rank: the ranks agree on it
        if folder is None or not trainer.is_global_zero:
            return
        partial = Path(folder, f".{self.config_filename}.partial")
        partial.parent.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, partial, skip_none=False, overwrite=True, multifile=self.multifile)
        partial.replace(Path(folder, self.config_filename))


class MaskmmCLI(LightningCLI):
    """Trains whatever module and data the config names by class_path.

    A run writes into one folder, `trainer.default_root_dir` ("runs/default" where not given): config.yaml,
    checkpoints/ and the logger's events. What several classes must agree on is said once and linked, wherever they
    have an argument of that name: `modalities` to the model, the datamodule and its collate; `seed_everything` as
    `seed` to model and datamodule; `trainer.max_steps` as `num_steps` to the datamodule.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add `modalities` and the links."""
        parser.add_argument(
            "--modalities",
            type=list[ModalitySource],
            default=[],
            help="token streams, each a name and its tokenizer's folder; `modalities+:` in a further file adds more",
        )
        for target in ("model", "data", "data.init_args.collate"):
            parser.link_arguments("modalities", f"{target}.init_args.modalities")
        for target in ("model", "data"):
            parser.link_arguments("seed_everything", f"{target}.init_args.seed")
        parser.link_arguments("trainer.max_steps", "data.init_args.num_steps")
        parser.set_defaults({"trainer.default_root_dir": "runs/default"})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Refuse a checkpoint that is not there before anything is built; Lightning then opens it."""
        super().parse_arguments(parser, args)
        verb = self.config.get("subcommand")
        path = self.config[verb].get("ckpt_path") if verb else None
        if verb in _MEASURING and path is None:
            _LOG.warning("no --ckpt_path FILE: %s takes the weights that a training would start from", verb)
        if path is not None and path not in _CHECKPOINT_WORDS:
            check_file(Path(path), "a .ckpt file written by `maskmm fit`")
            # torch's files are zip archives, whose table of contents is at the end.
            if not zipfile.is_zipfile(path):
                raise ValueError(
                    f"{path} is truncated or no checkpoint; expected a .ckpt file of `maskmm fit`"
                )

    def before_instantiate_classes(self) -> None:
        """Choose the precision, and make the default logger write into the run's folder."""
        trainer = self.config[self.subcommand].trainer
        if trainer.accumulate_grad_batches < 1:
            raise ValueError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}, expected at least 1"
            )
        check_processes(trainer.devices, str(trainer.accelerator))
        trainer.precision = choose_precision(trainer.precision, str(trainer.accelerator))
        if trainer.logger is None or trainer.logger is True:
            init_args = Namespace(save_dir=trainer.default_root_dir, name="", version="")
            trainer.logger = Namespace(
                class_path="lightning.pytorch.loggers.TensorBoardLogger", init_args=init_args
            )

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer of the config; its checkpoint files are whole or absent."""
        config = self._get(self.config_init, "trainer")
        if config.enable_progress_bar is not False and not has_progress_bar(config.callbacks):
            self.trainer_defaults = {**self.trainer_defaults, "callbacks": [StepProgressBar()]}
        trainer = super().instantiate_trainer(**kwargs)
        # What a strategy or a plugin of the user's brings stays.
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer


def has_progress_bar(callbacks: Any) -> bool:
    """True where the Trainer's `callbacks` (None, one or a list) bring a progress bar."""
    given = callbacks if isinstance(callbacks, list) else [callbacks]
    return any(isinstance(callback, ProgressBar) for callback in given)


def run_cli(arguments: Sequence[str]) -> MaskmmCLI:
    """Run `maskmm fit | validate | test | predict`.

    Args:
        arguments: the verb and its options.

    Raises:
        ValueError: a config that does not exist, a name or value in it that nothing takes, settings that
            Lightning finds contradictory, or a checkpoint of another model.
    """
    try:
        with quiet_lightning():
            return MaskmmCLI(
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                save_config_callback=_SaveFitConfig,
                parser_kwargs={"exit_on_error": False},
                load_from_checkpoint_support=False,
                args=with_found_configs(arguments),
            )
    except (argparse.ArgumentError, MisconfigurationException, ValueError) as error:
        raise ValueError(shorten(str(error))) from error
    except RuntimeError as error:
        if not str(error).startswith(_MISFIT):
            raise
        differences = [line.strip() for line in str(error).splitlines()[1:]]
        raise ValueError(
            f"the checkpoint does not fit the model of this config ({len(differences)} differences, the first: "
            f"{differences[0]:.200}); use the config that it was trained with"
        ) from error


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning without its chatter (devices, tips, advertisements) and without warnings that no user could act on."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield


def with_found_configs(arguments: Sequence[str]) -> list[str]:
    """The arguments with every config's name replaced by the file it means."""
    found: list[str] = []
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if index and arguments[index - 1] in _CONFIG_FLAGS:
            found.append(find_config(argument))
        elif equals and flag in _CONFIG_FLAGS:
            found.append(f"{flag}={find_config(value)}")
        else:
            found.append(argument)
    return found
