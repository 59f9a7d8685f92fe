"""The layer from features to logits as BERT and RoBERTa name it, tied to the word embeddings or not."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from maskmm.interop.rules import Rule, rows_from


def with_output_bias(weights: Mapping[str, Tensor], output: str, is_tied: bool) -> dict[str, Tensor]:
    """Weights with the bias of the output under the name in use: beside the tied layer, or inside a layer of its own.

    Files have either name, or both; of an untied layer the outer one is not used where the inner is there.

    Args:
        weights: theirs.
        output: prefix of the output layer's names.
        is_tied: its weight is the table of word embeddings.
    """
    used, other = _output_biases(output, is_tied)
    if used in weights or other not in weights:
        return dict(weights)
    return {used if name == other else name: tensor for name, tensor in weights.items()}


def unused_output(output: str, is_tied: bool) -> list[str]:
    """Patterns of the output layer's names that only repeat others; for the arguments see `with_output_bias`."""
    names = [_output_biases(output, is_tied)[1], *([f"{output}.decoder.weight"] if is_tied else [])]
    return [re.escape(name) for name in names]


def output_rules(output: str, is_tied: bool, margins: tuple[int, int]) -> list[Rule]:
    """One rule for each of our weights of that layer; for the arguments see `with_output_bias` and `rows_from`."""
    rules = [rows_from("head_bias", _output_biases(output, is_tied)[0], margins)]
    return rules if is_tied else [*rules, rows_from("head_weight", f"{output}.decoder.weight", margins)]


def _output_biases(output: str, is_tied: bool) -> tuple[str, str]:
    """Name of the bias that is used, and its other name."""
    outer, inner = f"{output}.bias", f"{output}.decoder.bias"
    return (outer, inner) if is_tied else (inner, outer)
