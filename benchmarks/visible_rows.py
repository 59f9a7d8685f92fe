"""The encoder on visible rows alone at 75 % masking against the encoder on all rows.

python -m benchmarks.visible_rows [--quick] [--mode cpu|wall] [--out FILE]
Alone, as features are made, and with a light decoder of two layers that puts the masked rows back for the head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.encoders import gated_rotary, one_pass
from benchmarks.harness import Case, main
from benchmarks.work import ExactShare, pass_name, text_sequence, trunk_flops
from maskmm.masking.base import MaskedSequence
from maskmm.model import MaskedTransformer
from maskmm.nn.config import DecoderConfig
from maskmm.rows import EncodedRows, is_wholly_masked
from maskmm.sequence import TokenSequence, take_samples
from tokenizers_vq.contract import Key

_DECODER = DecoderConfig(depth=2, width=128, num_heads=2)


def cases(is_quick: bool) -> Iterator[Case]:
    """Forward and training, d256 and d768; the quick run has d256 forward."""
    sizes = [(256, 6, 256, 8)]
    if not is_quick:
        sizes.append((768, 12, 256, 4))
    for width, depth, longest, count in sizes:
        full = gated_rotary(width, depth, longest)
        masked = ExactShare(0.75)(text_sequence([longest] * count, full.vocabulary), Key(0))
        for is_training in (False,) if is_quick else (False, True):
            yield _encoder_alone(full, masked, is_training)
            yield _with_decoder(full, masked, is_training)


def _encoder_alone(full: MaskedTransformer, masked: MaskedSequence, is_training: bool) -> Case:
    rows = (~is_wholly_masked(masked.inputs)).nonzero().flatten()

    def ours() -> Tensor:
        return full.forward_features(masked.inputs.select_rows(rows))

    def check() -> None:
        """A sample has the features that it has alone."""
        first = take_samples(masked.inputs, torch.tensor([0]))
        alone = full.forward_features(first.select_rows(~is_wholly_masked(first)))
        torch.testing.assert_close(ours()[: len(alone)], alone, atol=1e-4, rtol=1e-4)

    return _case("encoder on visible rows", full, full, ours, check, masked.inputs, is_training, 3.0)


def _with_decoder(full: MaskedTransformer, masked: MaskedSequence, is_training: bool) -> Case:
    config = replace(full.config, head=replace(full.config.head, decoder=_DECODER))
    model = MaskedTransformer(full.vocabulary, config).eval()
    sequence = masked.inputs
    encoded = EncodedRows.of(sequence, ~is_wholly_masked(sequence))
    asked = masked.with_target_rows().asked
    assert asked is not None

    def ours() -> Tensor:
        return model.forward_asked(sequence, asked, encoded=encoded)

    def check() -> None:
        """Asked rows are those of all rows."""
        torch.testing.assert_close(
            ours(), model.forward_features(sequence)[asked.index], atol=1e-4, rtol=1e-4
        )

    name = "visible rows and a decoder of 2 layers"
    return _case(name, model, full, ours, check, sequence, is_training, 2.0)


def _case(
    name: str,
    model: MaskedTransformer,
    full: MaskedTransformer,
    ours: Callable[[], Tensor],
    check: Callable[[], None],
    sequence: TokenSequence,
    is_training: bool,
    goal: float,
) -> Case:
    config, lengths = full.config, sequence.cu_seqlens.diff()
    return Case(
        f"{name}, 75 % masked, d{config.width} L{config.depth}, {pass_name(is_training)}",
        one_pass(ours, model, is_training),
        one_pass(lambda: full.forward_features(sequence), full, is_training),
        torch.no_grad()(check),
        goal,
        f"{sequence.num_rows} rows in {len(lengths)} samples of {int(lengths[0])}",
        flops=trunk_flops(full.blocks, config.width, [int(n) // 4 for n in lengths], is_training),
    )


if __name__ == "__main__":
    main(cases)
