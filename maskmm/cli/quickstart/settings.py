"""What the quickstart does, read from configs/experiment/quickstart/quickstart.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser

from maskmm.cli.configs import find_config
from maskmm.evaluation.digits import DigitSettings, EvaluationSizes

FULL = "configs/experiment/quickstart/quickstart.yaml"
TOY = "configs/experiment/quickstart/toy/quickstart.yaml"


@dataclass(frozen=True)
class QuickstartSettings:
    """Settings of everything but the three fits, which have configs of their own.

    Args:
        image_tokenizer: configs of the image tokenizer's fit, later ones over earlier ones.
        speech_tokenizer: configs of the speech tokenizer's fit.
        model: configs of the shared model's fit.
        vocab_size: word pieces learned from the captions.
        max_text_length: longest caption in word pieces.
        num_views: versions of each training image that the shared model sees, one plain, the others augmented.
        num_speech_views: versions of each training clip, one plain, the others as other voices.
        generation: target modality -> settings of `Pipeline.generate`, kept in the exported folder.
        sizes: how much the scores are measured on.
        directions: how the samples that are scored are generated; these win over `generation`.
    """

    image_tokenizer: list[str]
    speech_tokenizer: list[str]
    model: list[str]
    vocab_size: int
    max_text_length: int
    num_views: int
    num_speech_views: int
    generation: dict[str, dict[str, Any]]
    sizes: EvaluationSizes
    directions: DigitSettings

    @classmethod
    def read(cls, files: Sequence[str]) -> QuickstartSettings:
        """Settings from YAML files, later ones over earlier ones.

        Raises:
            ValueError: no such file, or a name or value that does not fit.
        """
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--config", action=ActionConfigFile)
        parser.add_class_arguments(cls)
        try:
            parsed = parser.instantiate_classes(
                parser.parse_args([f"--config={find_config(file)}" for file in files])
            )
        except argparse.ArgumentError as error:
            raise ValueError(f"{' + '.join(files)}: {error}") from error
        return cls(**{name: parsed[name] for name in cls.__dataclass_fields__})


def config_contents(files: Sequence[str]) -> list[Any]:
    """What YAML files say, with the group files they name read in: what a fit depends on.

    Comments do not count, so that a number noted in a header does not start a fit anew.
    """
    return [_content(Path(find_config(file))) for file in files]


def _content(path: Path) -> Any:
    data = yaml.safe_load(path.read_text()) or {}
    groups = {k: path.parent / v for k, v in data.items() if isinstance(v, str) and v.endswith(".yaml")}
    return data | {key: _content(group) for key, group in groups.items()}
