"""Generate targets one after the other, each conditioned on the inputs and on the targets before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from maskmm.decoding.draft import Draft
from maskmm.decoding.iterative import IterativeDecoder
from maskmm.decoding.lengths import LengthPolicy, SampledLength
from maskmm.decoding.placement import device_of
from maskmm.objectives.base import MaskedModel
from tokenizers_vq.contract import Key, TokenBatch


def generate_tokens(
    model: MaskedModel,
    batch: TokenBatch,
    targets: Sequence[str],
    decoder: IterativeDecoder | Mapping[str, IterativeDecoder],
    lengths: LengthPolicy | Mapping[str, LengthPolicy] | None = None,
    seed: int | Key = 0,
    is_unknown: Mapping[str, Tensor] | None = None,
    has_cls: bool | None = None,
) -> TokenBatch:
    """Conditions in, conditions and targets out.

    For each target in turn, a sample with unknown slots of that modality (in- or outpainting) has those filled; any
    other sample gets a new segment after its others. Codes given without `is_unknown` are conditions, also those of
    a target's modality. Everything known, earlier targets included, is the condition that guidance leaves out.

    Args:
        model: in eval mode; the batch is brought to its device.
        batch: conditions, and partly known targets; samples may be empty (unconditional generation). On CPU.
        targets: modality names, in the order they are generated.
        decoder: one for all, or one for each target.
        lengths: one policy for all, or by target; SampledLength() where a varying target has none.
        seed: the same seed gives a sample id the same codes in any batch.
        is_unknown: modality -> (n, Q) bool along `batch.codes[modality]`, True = find this code.
        has_cls: put a [CLS] row before each sample, as in training; as the vocabulary says where None.

    Returns:
        a TokenBatch of the same samples, on CPU, with conditions and targets.

    Raises:
        ValueError: a target that the model lacks, that is named twice or has no decoder; unknown slots of a modality
            that is no target; lengths out of range.
    """
    key = seed if isinstance(seed, Key) else Key(seed)
    vocabulary, device = model.vocabulary, device_of(model)
    for name in targets:
        vocabulary.index(name)
        if isinstance(decoder, Mapping) and name not in decoder:
            raise ValueError(f"target {name!r} has no decoder, expected one for each of {list(targets)}")
    if len(set(targets)) != len(targets):
        raise ValueError(f"targets {list(targets)} name a modality twice; name each once")
    stray = sorted(set(is_unknown or {}) - set(targets))
    if stray:
        raise ValueError(
            f"unknown slots of {stray}, which are no targets; add them to targets={list(targets)}"
        )
    draft = Draft(batch, dict(is_unknown or {}), has_cls)
    for name in targets:
        modality = vocabulary.modalities[vocabulary.index(name) - 1]
        is_wanted = draft.lacks_unknown(name)
        new_lengths = torch.ones(batch.num_samples, dtype=torch.int64)
        if not modality.spec.is_fixed and bool(is_wanted.any()):
            policy = lengths.get(name) if isinstance(lengths, Mapping) else lengths
            policy = SampledLength() if policy is None else policy
            new_lengths = policy(model, draft, modality, is_wanted, key.fold(f"{name}.length"))
        draft = draft.with_segments(modality, is_wanted, new_lengths)
        sequence, is_asked = draft.sequence(vocabulary, name)
        one = decoder[name] if isinstance(decoder, Mapping) else decoder
        done = one.decode(model, sequence.to(device), is_asked.to(device), key.fold(name))
        draft = draft.filled(name, done)
    return draft.batch
