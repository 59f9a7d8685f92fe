"""Agreement with vector-quantize-pytorch over training steps, with padding, and of stacked quantizers."""

import pytest
import torch

from tokenizers_vq.quantizers import (
    FSQ,
    LFQ,
    BitEntropy,
    CosineVQ,
    GroupedQuantizer,
    RandomProjectionQuantizer,
    ResidualVQ,
    VectorQuantizer,
)

peer = pytest.importorskip("vector_quantize_pytorch")

OURS = {"decay": 0.8, "init": "normal", "revive_below": 0.0}
THEIRS = {"decay": 0.8, "threshold_ema_dead_code": 0, "rotation_trick": False}


def vectors(seed=0, dim=6):
    return torch.randn(2, 200, dim, generator=torch.Generator().manual_seed(seed))


def give_codebook(theirs, ours):
    """Of VectorQuantizer to VectorQuantize."""
    theirs._codebook.embed[0] = ours.codebook_KD
    theirs._codebook.embed_avg[0] = ours.codebook_KD


def test_moving_averages_with_padding():
    ours = VectorQuantizer(16, 6, commitment=0.25, **OURS).train()
    theirs = peer.VectorQuantize(6, 16, commitment_weight=0.25, **THEIRS).train()
    give_codebook(theirs, ours)
    is_valid = torch.arange(200) < torch.tensor([200, 120])[:, None]
    for step in range(5):
        out, (_, codes, loss) = ours(vectors(step), is_valid), theirs(vectors(step), mask=is_valid)
        assert torch.equal(out.codes[..., 0][is_valid], codes[is_valid])
        torch.testing.assert_close(out.loss, loss)
        torch.testing.assert_close(ours.codebook_KD, theirs._codebook.embed[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(ours.ema_count_K, theirs._codebook.cluster_size[0])


def test_residual_moving_averages():
    ours = ResidualVQ(3, 16, 6, commitment=0.3, **OURS).train()
    theirs = peer.ResidualVQ(
        dim=6, num_quantizers=3, codebook_size=16, commitment_weight=0.3, **THEIRS
    ).train()
    for level, layer in zip(ours.levels, theirs.layers):
        give_codebook(layer, level)
    for step in range(4):
        out, (latents, codes, losses) = ours(vectors(step)), theirs(vectors(step))
        assert (out.codes != codes).float().mean() < 5e-3
        torch.testing.assert_close(out.loss, losses.mean())
        torch.testing.assert_close(out.latents, latents, rtol=1e-3, atol=1e-4)


def test_a_shared_codebook_in_use():
    """In training its shared codebook learns once a step, ours from each level."""
    ours = ResidualVQ(3, 16, 6, shares_codebook=True, **OURS).eval()
    theirs = peer.ResidualVQ(dim=6, num_quantizers=3, codebook_size=16, shared_codebook=True, **THEIRS).eval()
    give_codebook(theirs.layers[0], ours.levels[0])
    latents, codes, _ = theirs(vectors())
    assert (ours.encode(vectors()) != codes).float().mean() < 5e-3
    torch.testing.assert_close(ours(vectors()).latents, latents)


def test_grouped_residual_vq():
    ours = GroupedQuantizer([ResidualVQ(2, 16, 3, seed=seed, **OURS) for seed in range(2)]).train()
    theirs = peer.GroupedResidualVQ(
        dim=6, groups=2, num_quantizers=2, codebook_size=16, commitment_weight=0.25, **THEIRS
    ).train()
    for group, part in zip(ours.groups, theirs.rvqs):
        for level, layer in zip(group.levels, part.layers):
            give_codebook(layer, level)
    out, (latents, codes, losses) = ours(vectors()), theirs(vectors())
    assert (out.codes != torch.cat(list(codes), dim=-1)).float().mean() < 5e-3
    torch.testing.assert_close(out.latents, latents)
    torch.testing.assert_close(out.loss, losses.mean())


def test_grouped_fsq():
    ours, theirs = GroupedQuantizer([FSQ((5, 4, 3)), FSQ((5, 4, 3))]), peer.FSQ([5, 4, 3], num_codebooks=2)
    latents, codes = theirs(vectors())
    assert torch.equal(ours.encode(vectors()), codes.long())
    torch.testing.assert_close(ours(vectors()).latents, latents)


def test_lfq_sub_ids():
    ours = LFQ(6, num_codebooks=2, entropy=BitEntropy(weight=0.0), commitment=0.25).train()
    theirs = peer.LFQ(
        dim=6, codebook_size=8, num_codebooks=2, entropy_loss_weight=0.0, commitment_loss_weight=0.25
    )
    x = vectors()
    # It counts the bits of a sub-id from the top, we from the bottom.
    turned = x.unflatten(-1, (2, 3)).flip(-1).flatten(-2)
    out, (_, codes, loss) = ours(x), theirs.train()(turned)
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.loss, loss)


def test_cosine_vq_with_padding():
    ours = CosineVQ(16, 6, commitment=0.5, **OURS).train()
    theirs = peer.VectorQuantize(6, 16, use_cosine_sim=True, commitment_weight=0.5, **THEIRS).train()
    give_codebook(theirs, ours)
    is_valid = torch.arange(200) < torch.tensor([200, 120])[:, None]
    unit = torch.nn.functional.normalize(vectors(), dim=-1)  # with a mask, its loss takes latents as they are
    out, (_, codes, loss) = ours(unit, is_valid), theirs(unit, mask=is_valid)
    assert torch.equal(out.codes[..., 0][is_valid], codes[is_valid])
    torch.testing.assert_close(out.loss, loss)


def test_each_of_several_random_projections():
    ours, x = RandomProjectionQuantizer(32, 20, codebook_dim=8, num_codebooks=3), vectors(dim=20)
    for index, codes in enumerate(ours.encode(x).unbind(dim=-1)):
        theirs = peer.RandomProjectionQuantizer(dim=20, codebook_size=32, codebook_dim=8)
        theirs.rand_projs.copy_(ours.projection_QDE[index : index + 1])
        theirs.vq._codebook.embed.copy_(ours.codebook_QKE[index : index + 1])
        assert (codes != theirs(x)).float().mean() < 5e-3
