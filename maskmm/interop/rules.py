"""Weights by name: which of theirs make up one of ours, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from maskmm.checkpoint.report import LoadReport, brief

_MOST_NAMED = 12


@dataclass(frozen=True)
class Rule:
    """One of our weights.

    Attributes:
        ours: its name in a `MaskedTransformer`.
        theirs: the names of theirs that it is made of.
        to_ours: their tensors, in that order -> ours.
        to_theirs: the inverse.
    """

    ours: str
    theirs: tuple[str, ...]
    to_ours: Callable[[Sequence[Tensor]], Tensor]
    to_theirs: Callable[[Tensor], Sequence[Tensor]]


def same(ours: str, theirs: str) -> Rule:
    """The same tensor under another name."""
    return Rule(ours, (theirs,), lambda tensors: tensors[0], lambda tensor: (tensor,))


def linear(ours: str, theirs: str, has_bias: bool = True) -> list[Rule]:
    """Weight and bias of a layer (a norm as well)."""
    rules = [same(f"{ours}.weight", f"{theirs}.weight")]
    return [*rules, same(f"{ours}.bias", f"{theirs}.bias")] if has_bias else rules


def stacked(ours: str, theirs: Sequence[str], sizes: Sequence[int]) -> Rule:
    """Theirs one below the other, `sizes` rows each."""
    return Rule(ours, tuple(theirs), lambda t: torch.cat(list(t)), lambda t: t.split(list(sizes)))


def rows_from(ours: str, theirs: str, margins: tuple[int, int]) -> Rule:
    """The rows of our table but for those before and after (our specials, other modalities), which are zero."""
    before, after = margins

    def to_ours(tensors: Sequence[Tensor]) -> Tensor:
        (table,) = tensors
        return F.pad(table, (0, 0) * (table.ndim - 1) + (before, after))

    return Rule(ours, (theirs,), to_ours, lambda table: (table[before : table.shape[0] - after],))


def reshaped(ours: str, theirs: str, our_shape: Sequence[int], their_shape: Sequence[int]) -> Rule:
    """The same numbers in another shape; -1 stands for what is left."""
    return Rule(
        ours, (theirs,), lambda t: t[0].reshape(tuple(our_shape)), lambda t: (t.reshape(tuple(their_shape)),)
    )


def heads_apart(ours: str, theirs: str, num_heads: int) -> Rule:
    """Theirs holds queries, keys and values head by head (NeoBERT), ours all queries, then keys, then values."""
    ordered = {"h": num_heads, "three": 3}
    return Rule(
        ours,
        (theirs,),
        lambda t: rearrange(t[0], "(h three k) d -> (three h k) d", **ordered),
        lambda t: (rearrange(t, "(three h k) d -> (h three k) d", **ordered),),
    )


def neighbours_paired(rule: Rule, num_turned: int, head_width: int) -> Rule:
    """The rule, where channels c and c + K / 2 of a head, which theirs turns together, are neighbours in ours.

    Scores are sums over a head's channels, so their order is free; turning neighbours is twice as fast.

    Args:
        rule: of a projection to queries, keys and values, weight or bias.
        num_turned: heads that are turned (those of queries and keys), the first ones.
        head_width: K.
    """

    def reordered(x: Tensor, pattern: str) -> Tensor:
        turned = num_turned * head_width
        first = rearrange(x[:turned], pattern, two=2, p=head_width // 2)
        return torch.cat([first, x[turned:]])

    return Rule(
        rule.ours,
        rule.theirs,
        lambda t: reordered(rule.to_ours(t), "(h two p) ... -> (h p two) ..."),
        lambda t: rule.to_theirs(reordered(t, "(h p two) ... -> (h two p) ...")),
    )


def absent(ours: str, *shape: int) -> Rule:
    """Ours that they have nothing for; zeros, and the report names it as new."""
    return Rule(ours, (), lambda _: torch.zeros(shape), lambda _: ())


def renamed(weights: Mapping[str, Tensor], patterns: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Weights under the names of one convention; each pattern (regular expression, replacement) in turn.

    Raises:
        ValueError: two weights that differ would have one name.
    """
    out: dict[str, Tensor] = {}
    for old, tensor in weights.items():
        name = old
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        if name in out and not torch.equal(out[name], tensor):
            raise ValueError(
                f"the weights hold {name!r} twice, once as {old!r}, with different values; keep one"
            )
        out[name] = tensor
    return out


def to_ours(
    rules: Iterable[Rule], theirs: Mapping[str, Tensor], ignored: Sequence[str], source: str
) -> tuple[dict[str, Tensor], LoadReport]:
    """Our weights from theirs, float32, and what became of each name.

    Args:
        rules: one for each of our weights.
        theirs: name -> tensor.
        ignored: regular expressions of names that are known to be no part of the encoder; the report lists them.
        source: what to call theirs in messages.

    Raises:
        ValueError: names that are missing, or that no rule and no pattern knows, all of them in one message; or
            tensors of a shape that a rule cannot take apart.
    """
    rules = list(rules)
    wanted = {name for rule in rules for name in rule.theirs}
    missing = sorted(wanted - theirs.keys())
    left = sorted(theirs.keys() - wanted)
    is_known = re.compile("|".join(f"(?:{pattern})" for pattern in ignored) or r"(?!)")
    extra = [name for name in left if not is_known.fullmatch(name)]
    if missing or extra:
        raise ValueError(
            f"{source} does not have the weights that its configuration says: missing {_named(missing)}; extra "
            f"{_named(extra)}"
        )
    ours = {rule.ours: _one_of_ours(rule, theirs, source) for rule in rules}
    new = [rule.ours for rule in rules if not rule.theirs]
    return ours, LoadReport.of(source, ours.keys() - set(new), new, left)


def _one_of_ours(rule: Rule, theirs: Mapping[str, Tensor], source: str) -> Tensor:
    tensors = [theirs[name].float() for name in rule.theirs]
    try:
        return rule.to_ours(tensors).contiguous()
    except RuntimeError as error:  # of torch and einops alike
        shapes = ", ".join(f"{name} of shape {tuple(t.shape)}" for name, t in zip(rule.theirs, tensors))
        raise ValueError(
            f"the weights of {source} do not fit its configuration: {shapes} cannot become {rule.ours}"
        ) from error


def to_theirs(rules: Iterable[Rule], ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their weights from ours.

    Raises:
        ValueError: weights of ours that no rule takes along, or rules without a weight; by name.
    """
    rules = list(rules)
    names = {rule.ours for rule in rules}
    if names != ours.keys():
        raise ValueError(
            f"the model's weights are not those of the architecture: missing {_named(sorted(names - ours.keys()))}; "
            f"extra {_named(sorted(ours.keys() - names))}"
        )
    out: dict[str, Tensor] = {}
    for rule in rules:
        out |= {name: t.contiguous().clone() for name, t in zip(rule.theirs, rule.to_theirs(ours[rule.ours]))}
    return out


def _named(names: Sequence[str]) -> str:
    """Every name, one by one where they are few."""
    return (", ".join(names) if len(names) <= _MOST_NAMED else brief(names)) or "none"
