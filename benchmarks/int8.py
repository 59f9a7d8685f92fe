"""int8 inference against float32, the same weights (row 7 of the speed goals).

python -m benchmarks.int8 [--quick] [--mode cpu|wall] [--out FILE]
Where oneDNN multiplies float32 faster than torch's own choice does (`maskmm.nn.linear`), against both.
Nothing is timed unless the features differ by less than 2.5 %: mean over rows of |difference| / |features|.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from torch import Tensor

from benchmarks.encoders import Samples, gated_rotary, one_pass
from benchmarks.harness import Case, Row, main
from benchmarks.work import trunk_flops
from maskmm.nn.int8 import quantize
from maskmm.nn.linear import is_onednn_faster


def cases(is_quick: bool) -> Iterator[Case]:
    """d768 and, where little is to be gained, d256; the quick run has 4 layers of d768 and 256 tokens."""
    if is_quick:
        yield from _cases(768, 4, [256], 2.0)
    else:
        yield from _cases(768, 12, [512], 2.0)
        yield from _cases(768, 12, [512] * 4, 2.0)
        yield from _cases(256, 6, [512] * 4, 1.3)


def _cases(width: int, depth: int, lengths: list[int], goal: float) -> Iterator[Case]:
    yield _case(width, depth, lengths, goal, has_onednn=False)
    if is_onednn_faster():
        yield _case(width, depth, lengths, goal, has_onednn=True)


def _case(width: int, depth: int, lengths: list[int], goal: float, has_onednn: bool) -> Case:
    torch.manual_seed(0)
    plain = gated_rotary(width, depth, 512)
    sequence = Samples.make(lengths, 512, plain.vocabulary).sequence
    fast = deepcopy(plain)
    quantize(fast.blocks)

    def ours() -> Tensor:
        return fast.forward_features(sequence)

    def peer() -> Tensor:
        with torch.backends.mkldnn.flags(enabled=has_onednn):
            return plain.forward_features(sequence)

    def check() -> Row:
        with torch.no_grad():
            wanted = peer()
            error = float(((ours() - wanted).norm(dim=1) / wanted.norm(dim=1)).mean())
        assert error < 0.025, f"relative error {error:.4f}"
        return {"relative_error": error}

    return Case(
        f"int8, d{width} L{depth}, forward, against float32 of {'oneDNN' if has_onednn else 'torch as it is'}",
        one_pass(ours, fast, is_training=False),
        one_pass(peer, plain, is_training=False),
        check,
        goal,
        f"{sequence.num_rows} tokens in {len(lengths)} samples",
        flops=trunk_flops(plain.blocks, width, lengths, False),
    )


if __name__ == "__main__":
    main(cases)
