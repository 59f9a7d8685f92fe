"""The packed encoder against nn.TransformerEncoder (nested tensors in eval mode) and x-transformers, mixed lengths.

python -m benchmarks.other_encoders [--quick] [--mode cpu|wall] [--out FILE]
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from benchmarks.encoders import NUM_CODES, Samples, gated_rotary, one_pass, packs_exactly, plain_block
from benchmarks.harness import Case, main
from benchmarks.work import lengths_of, pass_name, trunk_flops
from maskmm.model import MaskedTransformer


def cases(is_quick: bool) -> Iterator[Case]:
    """Rows 4 and 5 of the speed goals; the quick run has d256 alone, forward."""
    sizes = [(256, 6, lengths_of(4 if is_quick else 8, 512, 0.4))]
    if not is_quick:
        sizes.append((768, 12, lengths_of(4, 512, 0.4)))
    for width, depth, lengths in sizes:
        samples = Samples.make(lengths, 512)
        nested = NestedEncoder(width, depth, samples)
        yield _case(
            "nn.TransformerEncoder, nested", plain_block(width, depth, 512), nested, samples, 1.5, False
        )
        model, peer = gated_rotary(width, depth, 512), XTransformer(width, depth, samples)
        for is_training in (False,) if is_quick else (False, True):
            yield _case("x-transformers, rotary and gated", model, peer, samples, 3.0, is_training)


def _case(
    peer_name: str,
    model: MaskedTransformer,
    peer: NestedEncoder | XTransformer,
    samples: Samples,
    goal: float,
    is_training: bool,
) -> Case:
    def ours() -> Tensor:
        return model.forward_features(samples.sequence)

    packs = packs_exactly(model, samples.sequence)

    def check() -> None:
        packs()
        with torch.no_grad():
            assert ours().shape == peer().shape

    config = model.config
    return Case(
        f"mixed lengths, d{config.width} L{config.depth}, {pass_name(is_training)}, against {peer_name}",
        one_pass(ours, model, is_training),
        one_pass(peer, peer.module, is_training),
        check,
        goal,
        samples.work,
        flops=trunk_flops(model.blocks, config.width, samples.lengths, is_training),
    )


class NestedEncoder:
    """Embedding, nn.TransformerEncoder with its fast path, rows of real tokens."""

    def __init__(self, width: int, depth: int, samples: Samples) -> None:
        layer = nn.TransformerEncoderLayer(width, width // 64, 4 * width, 0.0, "gelu", batch_first=True)
        self.module = nn.TransformerEncoder(layer, depth, enable_nested_tensor=True).eval()
        self.embedding = nn.Embedding(NUM_CODES, width)
        self.samples = samples

    def __call__(self) -> Tensor:
        is_real = self.samples.is_real
        return self.module(self.embedding(self.samples.ids), src_key_padding_mask=~is_real)[is_real]


class XTransformer:
    """Rotary positions, SwiGLU, RMSNorm; rows of real tokens."""

    def __init__(self, width: int, depth: int, samples: Samples) -> None:
        from x_transformers import Encoder, TransformerWrapper

        # ff_mult counts the hidden width of one of the gated projections: 8/3 D, as ours.
        layers = Encoder(
            dim=width, depth=depth, heads=width // 64, attn_flash=True, rotary_pos_emb=True, ff_glu=True,
            ff_swish=True, ff_mult=8 / 3, ff_no_bias=True, use_rmsnorm=True,
        )  # fmt: skip
        self.module = TransformerWrapper(num_tokens=NUM_CODES, max_seq_len=512, attn_layers=layers).eval()
        self.samples = samples

    def __call__(self) -> Tensor:
        is_real = self.samples.is_real
        return self.module(self.samples.ids, mask=is_real, return_embeddings=True)[is_real]


if __name__ == "__main__":
    main(cases, ["transformers", "x-transformers"])
