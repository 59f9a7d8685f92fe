"""Requests of `maskmm generate`: from options or from a JSONL file, one sample each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskmm.cli.jsonl import read_jsonl

_FIELDS = ("inputs", "to", "seed", "sample_id", "settings", "lengths")


@dataclass(frozen=True)
class Request:
    """One sample to generate.

    Attributes:
        inputs: modality -> text, or path of a file.
        targets: in the order in which they are generated.
        seed: of the random numbers.
        sample_id: names the sample for them; the same seed and sample_id give the same sample again.
        settings: fields of GenerationSettings that win over the checkpoint's.
        lengths: target -> tokens along its varying axis.
    """

    inputs: dict[str, str]
    targets: tuple[str, ...]
    seed: int
    sample_id: int
    settings: dict[str, Any] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)

    def group(self) -> str:
        """Requests with equal groups are generated in one batch."""
        return json.dumps(
            [sorted(self.inputs), self.targets, self.seed, self.settings, sorted(self.lengths)],
            sort_keys=True,
        )


def read_requests(path: Path, default: Request) -> list[Request]:
    """Requests of a JSONL file: {"inputs": {"text": "a seven"}, "to": ["image"], "seed": 3, "settings": {...}}.

    Args:
        path: one JSON object a line; empty lines are skipped.
        default: where a line gives no targets, seed or lengths; its settings hold where a line gives none of that
            name. sample_id is the line's number, from 0, where not given.

    Raises:
        ValueError: no such file, a line that is no such object, or no line at all.
    """
    requests = [_request(where, number, data, default) for where, number, data in read_jsonl(path)]
    if not requests:
        raise ValueError(f"{path} holds no request; write one JSON object a line")
    return requests


def _request(where: str, number: int, data: Any, default: Request) -> Request:
    if not isinstance(data, dict) or set(data) - set(_FIELDS):
        raise ValueError(f"{where}: {data!r:.80}, expected an object with some of {list(_FIELDS)}")
    inputs = data.get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(value, str) for value in inputs.values()):
        raise ValueError(
            f'{where}: inputs {inputs!r:.80}, expected an object like {{"text": "a seven", "image": "a.png"}}'
        )
    targets = data.get("to", default.targets)
    targets = [targets] if isinstance(targets, str) else targets
    if not isinstance(targets, (list, tuple)) or not all(isinstance(name, str) for name in targets):
        raise ValueError(f'{where}: to {targets!r:.80}, expected a name or a list like ["image", "speech"]')
    settings = data.get("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f'{where}: settings {settings!r:.80}, expected an object like {{"num_steps": 8}}')
    lengths = data.get("lengths", default.lengths)
    if not isinstance(lengths, dict) or not all(type(value) is int for value in lengths.values()):
        raise ValueError(
            f'{where}: lengths {lengths!r:.80}, expected whole numbers of tokens like {{"speech": 8}}'
        )
    numbers = {"seed": data.get("seed", default.seed), "sample_id": data.get("sample_id", number)}
    for name, value in numbers.items():
        if type(value) is not int:
            raise ValueError(f"{where}: {name} {value!r:.80}, expected a whole number")
    return Request(inputs, tuple(targets), **numbers, settings=default.settings | settings, lengths=lengths)


def requests_of_values(
    values: dict[str, list[str]], num_samples: int | None, default: Request
) -> list[Request]:
    """Requests of the command line's own values: the i-th value of every modality makes the i-th sample.

    Raises:
        ValueError: different numbers of values, or nothing that says how many samples.
    """
    counts = {name: len(of_name) for name, of_name in values.items()}
    if num_samples is not None:
        counts["--num-samples"] = num_samples
    if not counts:
        raise ValueError(
            "no inputs: give --text, --image, --input or --requests, or --num-samples for none at all"
        )
    if len(set(counts.values())) != 1:
        raise ValueError(f"different numbers of values {counts}; give as many of each")
    if num_samples is not None and num_samples < 1:
        raise ValueError(f"--num-samples {num_samples}, expected at least 1")
    return [
        Request(
            {name: of_name[i] for name, of_name in values.items()},
            default.targets,
            default.seed,
            i,
            default.settings,
            default.lengths,
        )
        for i in range(next(iter(counts.values())))
    ]


def parse_pairs(pairs: Iterable[str], option: str) -> dict[str, list[str]]:
    """NAME=VALUE options, several values a name.

    Raises:
        ValueError: no "=" in one.
    """
    values: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{option} {pair!r}, expected NAME=VALUE such as image=a.png")
        values.setdefault(name, []).append(value)
    return values
