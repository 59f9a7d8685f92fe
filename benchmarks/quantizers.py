"""Our quantizers beside vector-quantize-pytorch: lookup, indices and training steps on the same tensors.

python -m benchmarks.quantizers [--quick] [--out FILE]      one thread, CPU time, ratios within a round
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import vector_quantize_pytorch as peer
from torch import Tensor, nn

from benchmarks.harness import Case, main
from tokenizers_vq.quantizers import FSQ, LFQ, Quantizer, ResidualVQ, VectorQuantizer, nearest_code

_NEAR_TIES = 2e-3  # share of codes that may differ: two codes at the same distance to seven digits


def _latents(rows: int, dim: int) -> Tensor:
    return torch.randn(1, rows, dim, generator=torch.Generator().manual_seed(dim))


def _same_codes(ours: Callable[[], Tensor], theirs: Callable[[], Tensor]) -> Callable[[], None]:
    def check() -> None:
        share = (ours().flatten() != theirs().flatten()).float().mean()
        assert share <= _NEAR_TIES, f"{float(share):.2%} of the codes differ"

    return check


def _without_gradient(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    return torch.no_grad()(call)


def _peer_vq(codebook_size: int, dim: int) -> peer.VectorQuantize:
    return peer.VectorQuantize(
        dim,
        codebook_size,
        decay=0.99,
        commitment_weight=0.25,
        threshold_ema_dead_code=2,
        rotation_trick=False,
    )


def _lookups(quick: bool) -> Iterator[Case]:
    rows = 512 if quick else 2048
    for codebook_size in (1024, 8192, 16384):
        for dim in (8, 256):
            x, quantizer = _latents(rows, dim), _peer_vq(codebook_size, dim).eval()
            codebook = torch.randn(codebook_size, dim, generator=torch.Generator().manual_seed(1))
            quantizer._codebook.embed[0] = codebook
            ours = _without_gradient(lambda x=x, codebook=codebook: nearest_code(x[0], codebook))
            theirs = _without_gradient(lambda x=x, quantizer=quantizer: quantizer(x)[1])
            goal = 5.0 if dim == 8 else 2.5 if codebook_size == 1024 else 4.5
            name = f"lookup {codebook_size} x {dim}"
            flops = 2.0 * rows * codebook_size * dim
            yield Case(name, ours, theirs, _same_codes(ours, theirs), goal, f"{rows} vectors", flops=flops)


def _residual_pair(dim: int) -> tuple[ResidualVQ, peer.ResidualVQ]:
    ours = ResidualVQ(8, 1024, dim, init="normal")
    theirs = peer.ResidualVQ(
        dim=dim,
        num_quantizers=8,
        codebook_size=1024,
        decay=0.99,
        commitment_weight=0.25,
        threshold_ema_dead_code=2,
        rotation_trick=False,
    )
    for level, layer in zip(ours._levels(), theirs.layers):
        layer._codebook.embed[0] = level.codebook_KD
        layer._codebook.embed_avg[0] = level.codebook_KD
    return ours, theirs


def _indices(quick: bool) -> Iterator[Case]:
    rows = 512 if quick else 2048
    x = _latents(rows, 256)
    rvq, peer_rvq = _residual_pair(256)
    pairs: list[tuple[str, Tensor, Quantizer, nn.Module, float]] = [
        ("residual VQ 8 x 1024 x 256", x, rvq, peer_rvq, 2.5),
        ("FSQ 8,5,5,5", _latents(rows * 16, 4), FSQ((8, 5, 5, 5)), peer.FSQ([8, 5, 5, 5]), 1.9),
        ("LFQ 2^13", _latents(rows * 16, 13), LFQ(13), peer.LFQ(dim=13), 5.0),
    ]
    for name, x, quantizer, other, goal in pairs:
        quantizer.eval()
        other.eval()
        ours = _without_gradient(lambda q=quantizer, x=x: q.encode(x))
        theirs = _without_gradient(lambda q=other, x=x: q(x)[1])
        compared = theirs
        if isinstance(other, peer.LFQ):  # it counts bits from the top
            compared = _without_gradient(lambda q=other, x=x: q(x.flip(-1))[1])
        yield Case(
            f"indices {name}", ours, theirs, _same_codes(ours, compared), goal, f"{x.shape[1]} vectors"
        )


def _training_step(quantizer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """Forward and backward to the latents; returns the codes."""

    def step() -> Tensor:
        leaf = x.clone().requires_grad_()
        out = quantizer(leaf)
        latents, codes, loss = (
            (out.latents, out.codes, out.loss) if isinstance(quantizer, Quantizer) else (*out, 0.0)[:3]
        )
        (latents.square().mean() + torch.as_tensor(loss).sum()).backward()
        return codes

    return step


def _training(quick: bool) -> Iterator[Case]:
    rows = 512 if quick else 2048
    vq, peer_vq = VectorQuantizer(1024, 256, init="normal"), _peer_vq(1024, 256)
    peer_vq._codebook.embed[0] = vq.codebook_KD
    peer_vq._codebook.embed_avg[0] = vq.codebook_KD
    rvq, peer_rvq = _residual_pair(256)
    pairs: list[tuple[str, Tensor, Quantizer, nn.Module]] = [
        ("VQ 1024 x 256", _latents(rows, 256), vq, peer_vq),
        ("residual VQ 8 x 1024 x 256", _latents(rows, 256), rvq, peer_rvq),
        ("FSQ 8,5,5,5", _latents(rows * 16, 4), FSQ((8, 5, 5, 5)), peer.FSQ([8, 5, 5, 5])),
        ("LFQ 2^13", _latents(rows, 13), LFQ(13), peer.LFQ(dim=13, commitment_loss_weight=0.25)),
    ]
    for name, x, quantizer, other in pairs:
        ours, theirs = _training_step(quantizer.train(), x), _training_step(other.train(), x)
        compared = theirs
        if isinstance(other, peer.LFQ):
            compared = _training_step(other, x.flip(-1))
        yield Case(f"train {name}", ours, theirs, _same_codes(ours, compared), 1.2, f"{x.shape[1]} vectors")


def cases(quick: bool) -> Iterator[Case]:
    """All rows of the table."""
    yield from _lookups(quick)
    yield from _indices(quick)
    yield from _training(quick)


if __name__ == "__main__":
    main(cases, ["vector-quantize-pytorch"])
