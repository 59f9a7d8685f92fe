"""Build what a training config names, without training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from maskmm.cli.config_errors import shorten
from maskmm.cli.lightning import MaskmmCLI, quiet_lightning, with_found_configs
from tokenizers_vq.contract import ModalitySource


class _Builder(MaskmmCLI):
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Also what the verbs take and a run's own config.yaml therefore names."""
        super().add_arguments_to_parser(parser)
        for name in ("--ckpt_path", "--weights_only"):
            parser.add_argument(name)

    def before_instantiate_classes(self) -> None:
        """Leave trainer and logger alone: nothing is run."""


def build(configs: Sequence[str]) -> tuple[Any, Any, list[ModalitySource]]:
    """The module, the datamodule and the modalities of a training config.

    Args:
        configs: files, later ones over earlier ones.

    Raises:
        ValueError: a file that does not exist, or a name or value in it that nothing takes.
    """
    arguments = with_found_configs([f"--config={config}" for config in configs])
    try:
        with quiet_lightning():
            cli = _Builder(
                run=False,
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                save_config_callback=None,
                parser_kwargs={"exit_on_error": False},
                args=arguments,
            )
    except (argparse.ArgumentError, MisconfigurationException, ValueError) as error:
        raise ValueError(shorten(str(error))) from error
    return cli.model, cli.datamodule, list(cli.config_init.modalities)
