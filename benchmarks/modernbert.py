"""The same weights as transformers' ModernBertModel: windows of 64 to each side, every 3rd layer global.

python -m benchmarks.modernbert [--quick] [--mode cpu|wall] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.encoders import NUM_CODES, Samples, one_pass, same_features
from benchmarks.harness import Case, main
from benchmarks.work import pass_name, trunk_flops
from maskmm.interop import from_transformers

GOALS = {512: 1.2, 2048: 1.8, 4096: 2.5}


def cases(is_quick: bool) -> Iterator[Case]:
    """Row 6 of the speed goals, eager; the quick run has T 512, forward."""
    for longest in GOALS if not is_quick else (512,):
        yield modernbert_case(longest, is_training=False)
        if not is_quick and longest <= 2048:
            yield modernbert_case(longest, is_training=True)


def build_modernbert(width: int, depth: int, longest: int) -> Any:
    """transformers' ModernBertModel, random weights, without dropout; heads of 64 channels."""
    from transformers import ModernBertConfig, ModernBertModel

    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=NUM_CODES, hidden_size=width, num_hidden_layers=depth, num_attention_heads=width // 64,
        intermediate_size=8 * width // 3, max_position_embeddings=longest, global_attn_every_n_layers=3,
        local_attention=128, attn_implementation="sdpa", pad_token_id=0, bos_token_id=1, eos_token_id=2,
        cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    return ModernBertModel(config).eval()


def modernbert_case(longest: int, is_training: bool, is_compiled: bool = False) -> Case:
    """Ours and theirs, both eager or both compiled."""
    peer = build_modernbert(256, 6, longest)
    model = from_transformers(peer).model
    samples = Samples.make([longest] * max(1, 1024 // longest), longest, model.vocabulary)
    forward, padded = (
        (torch.compile(model.forward_features, dynamic=False), torch.compile(peer, dynamic=False))
        if is_compiled
        else (model.forward_features, peer)
    )

    def ours() -> Tensor:
        return forward(samples.sequence)

    def theirs() -> Tensor:
        return padded(samples.ids).last_hidden_state[samples.is_real]

    config = model.config
    windows = [config.attention.window_of(layer) for layer in range(config.depth)]
    kind = f"{pass_name(is_training)}, {'both compiled' if is_compiled else 'both eager'}"
    return Case(
        f"ModernBERT's weights, d256 L6 T{longest}, {kind}",
        one_pass(ours, model, is_training),
        one_pass(theirs, peer, is_training),
        same_features(ours, theirs),
        GOALS[longest],
        samples.work,
        flops=trunk_flops(model.blocks, config.width, samples.lengths, is_training, windows),
        is_compiled=is_compiled,
    )


if __name__ == "__main__":
    main(cases, ["transformers"])
