"""What an architecture file answers: our configuration, vocabulary and weights for one public model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskmm.checkpoint.report import LoadReport
from maskmm.interop.public_model import PublicModel
from maskmm.interop.rules import Rule, to_ours
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, Tokenizer, TokenSpec
from tokenizers_vq.contract.tokenizer import find_class

_log = logging.getLogger(__name__)
TEXT = "text"
_MOST_NAMED = 12
"""Weights in an error about shapes; where a width is wrong, every weight is."""
_TEXT_CLASS = "tokenizers_vq.pretrained_text.PretrainedText"


@dataclass(frozen=True)
class Translation:
    """How one public model becomes ours.

    Attributes:
        config: shape of our model.
        vocabulary: its modalities and special rows.
        tokenizers: modality -> tokenizer.
        rules: one for each of our weights.
        weights: theirs, under the names that the rules use.
        ignored: regular expressions of names of theirs that are known to be no part of the encoder.
        source: what to call the model in messages.
    """

    config: TransformerConfig
    vocabulary: Vocabulary
    tokenizers: Mapping[str, Tokenizer]
    rules: tuple[Rule, ...]
    weights: Mapping[str, Tensor]
    ignored: tuple[str, ...]
    source: str

    def build(self) -> tuple[MaskedTransformer, LoadReport]:
        """The model in eval mode, and what became of each name.

        Raises:
            ValueError: weights that are missing, extra or of another shape than the configuration says, by name.
        """
        ours, report = to_ours(self.rules, self.weights, self.ignored, self.source)
        with torch.random.fork_rng(devices=[]):
            model = MaskedTransformer(self.vocabulary, self.config)
        # Buffers (the counter of drop path) are state of training, not of a published model.
        wanted = {name: tuple(value.shape) for name, value in model.named_parameters()}
        found = {name: tuple(value.shape) for name, value in ours.items()}
        wrong = [
            f"{name} of shape {found.get(name)}, expected {wanted.get(name)}"
            for name in sorted(wanted | found)
            if found.get(name) != wanted.get(name)
        ]
        if wrong:
            more = f"; and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
            raise ValueError(
                f"the weights of {self.source} do not fit its configuration: {'; '.join(wrong[:_MOST_NAMED])}{more}"
            )
        model.load_state_dict(ours, strict=False)
        return model.eval(), report


def text_tokenizer(source: Any, codebook_size: int, max_rows: int) -> Tokenizer | None:
    """The tokenizer of a text encoder; None where there is none.

    Args:
        source: see `PublicModel.text`.
        codebook_size: rows of the model's table.
        max_rows: positions it has.

    Raises:
        ValueError: vocabulary files that are missing or do not fit the model.
    """
    if source is None or isinstance(source, Tokenizer):
        return source
    cls: Any = find_class(_TEXT_CLASS, Tokenizer)
    if isinstance(source, (str, Path)):
        return cls.from_public(Path(source), codebook_size, max_rows)
    pieces = getattr(source, "backend_tokenizer", None)
    if pieces is None:
        raise ValueError(
            f"tokenizer of type {type(source).__name__}, expected a fast tokenizer of transformers or a folder"
        )
    return cls.from_public(pieces.to_str(), codebook_size, max_rows, {"mask_token": source.mask_token})


def text_vocabulary(codebook_size: int, max_rows: int, tokenizer: Tokenizer | None) -> Vocabulary:
    """Vocabulary of a text encoder.

    With a tokenizer, packing adds the rows that it says ([CLS] before, [SEP] after a text). Without one nothing is
    added: codes are the model's own ids, special tokens among them.
    """
    if tokenizer is None:
        spec = TokenSpec(codebook_size, axes=("t",), max_length=max_rows)
        return Vocabulary([Modality(TEXT, spec)], has_cls=False)
    aliases = {name: (TEXT, code) for name, code in tokenizer.specials.items()}
    return Vocabulary([Modality(TEXT, tokenizer.spec)], aliases=aliases, has_cls="[CLS]" in aliases)


def translate_text(
    public: PublicModel,
    config: TransformerConfig,
    codebook_size: int,
    make_rules: Callable[[TransformerConfig, Vocabulary], Sequence[Rule]],
    weights: Mapping[str, Tensor],
    ignored: Sequence[str],
) -> Translation:
    """A text encoder's translation, with the vocabulary and tokenizer that belong to it.

    Args:
        public: the model.
        config: its shape, ours.
        codebook_size: rows of its table.
        make_rules: one rule for each of our weights.
        weights: theirs, under the names of those rules.
        ignored: see `Translation`.
    """
    assert config.longest is not None
    tokenizer = text_tokenizer(public.text, codebook_size, config.longest)
    vocabulary = text_vocabulary(codebook_size, config.longest, tokenizer)
    if tokenizer is not None and "[MASK]" not in tokenizer.specials:
        _log.warning(
            "the tokenizer of %s names no mask: hidden tokens are zero vectors until they are trained",
            public.fields.source,
        )
    return Translation(
        config=config,
        vocabulary=vocabulary,
        tokenizers={} if tokenizer is None else {TEXT: tokenizer},
        rules=tuple(make_rules(config, vocabulary)),
        weights=weights,
        ignored=tuple(ignored),
        source=public.fields.source,
    )


def margins(vocabulary: Vocabulary, name: str) -> tuple[int, int]:
    """Rows of our joint tables before and after those of a modality's codes."""
    rows = vocabulary.slice(name, 0)
    return rows.start, vocabulary.size - rows.stop
