"""Agreement with vector-quantize-pytorch where both offer the same; codes at near-ties may differ."""

import pytest
import torch

from tokenizers_vq.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    BitEntropy,
    CosineVQ,
    GradientVQ,
    GroupedQuantizer,
    Orthogonality,
    ProjectedQuantizer,
    RandomProjectionQuantizer,
    ResidualVQ,
    VectorQuantizer,
)

peer = pytest.importorskip("vector_quantize_pytorch")


def vectors(dim, rows=400, seed=0, scale=1.0):
    return scale * torch.randn(2, rows // 2, dim, generator=torch.Generator().manual_seed(seed))


def assert_same_codes(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours != theirs).float().mean() < 5e-3


def gradients(latents, loss, x):
    weights = torch.randn(latents.shape, generator=torch.Generator().manual_seed(7))
    return torch.autograd.grad((latents * weights).sum() + loss, x)[0]


def peer_codebook(codebook_size, dim, codebook_KD, **options):
    other = peer.VectorQuantize(dim, codebook_size, rotation_trick=False, **options)
    with torch.no_grad():
        other._codebook.embed[0] = codebook_KD
    return other.train()


def test_vq():
    ours = VectorQuantizer(32, 6, commitment=0.25, init="normal").train()
    theirs = peer_codebook(32, 6, ours.codebook_KD, commitment_weight=0.25)
    x = vectors(6)
    out, (latents, codes, loss) = ours(x), theirs(x)
    assert_same_codes(out.codes[..., 0], codes)
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(out.latents, latents)


def test_residual_vq():
    ours = ResidualVQ(3, 16, 6, commitment=0.3, init="normal").train()
    theirs = peer.ResidualVQ(
        dim=6, num_quantizers=3, codebook_size=16, commitment_weight=0.3, rotation_trick=False
    )
    for level, layer in zip(ours.levels, theirs.layers):
        layer._codebook.embed[0] = level.codebook_KD
    x = vectors(6)
    out, (latents, codes, losses) = ours(x), theirs.train()(x)
    assert_same_codes(out.codes, codes)
    torch.testing.assert_close(out.loss, losses.mean())
    torch.testing.assert_close(out.latents, latents)


def test_gradient_vq_and_orthogonality():
    ours = GradientVQ(24, 5, commitment=1.0, regularisers=[Orthogonality(10.0)], init="normal").train()
    theirs = peer_codebook(
        24, 5, ours.codebook_KD, learnable_codebook=True, ema_update=False, orthogonal_reg_weight=10.0
    )
    x, y = vectors(5).requires_grad_(), vectors(5).requires_grad_()
    out, (latents, codes, loss) = ours(x), theirs(y)
    assert_same_codes(out.codes[..., 0], codes)
    torch.testing.assert_close(gradients(out.latents, out.loss, x), gradients(latents, loss, y))
    # Its one commitment loss moves latents and codes alike; ours counts each direction.
    error = (out.latents - x).square().mean()
    torch.testing.assert_close(out.loss - error, loss)


def test_gradient_vq_moves_its_codes_alike():
    ours = GradientVQ(24, 5, init="normal").train()
    theirs = peer_codebook(24, 5, ours.codebook_KD, learnable_codebook=True, ema_update=False)
    x = vectors(5)
    ours(x).loss.backward()
    theirs(x)[2].backward()
    torch.testing.assert_close(ours.codebook_KD.grad, theirs._codebook.embed.grad[0])


def test_cosine_vq_in_few_dimensions():
    ours = ProjectedQuantizer(12, CosineVQ(32, 4, commitment=0.25, init="normal")).train()
    theirs = peer_codebook(
        32,
        12,
        ours.quantizer.codebook_KD,
        codebook_dim=4,
        use_cosine_sim=True,
        commitment_weight=0.25,
    )
    theirs.project_in.load_state_dict(ours.project_in.state_dict())
    theirs.project_out.load_state_dict(ours.project_out.state_dict())
    x, y = vectors(12).requires_grad_(), vectors(12).requires_grad_()
    out, (latents, codes, loss) = ours(x), theirs(y)
    assert_same_codes(out.codes[..., 0], codes)
    torch.testing.assert_close(out.loss, loss)
    torch.testing.assert_close(out.latents, latents)
    torch.testing.assert_close(gradients(out.latents, out.loss, x), gradients(latents, loss, y))


def test_grouped_vq():
    ours = GroupedQuantizer([VectorQuantizer(16, 4, init="normal", seed=seed) for seed in range(2)]).eval()
    theirs = peer.VectorQuantize(8, 16, codebook_dim=4, heads=2, separate_codebook_per_head=True).eval()
    for q, group in enumerate(ours.groups):
        theirs._codebook.embed[q] = group.codebook_KD
    x = vectors(8)
    latents, codes, _ = theirs(x)
    assert_same_codes(ours.encode(x), codes)
    torch.testing.assert_close(ours(x).latents, latents)


@pytest.mark.parametrize("levels", [[8, 5, 5, 5], [7, 6, 4], [3]])
def test_fsq(levels):
    ours, theirs = FSQ(levels).train(), peer.FSQ(levels).train()
    x, y = vectors(len(levels), scale=2.0).requires_grad_(), vectors(len(levels), scale=2.0).requires_grad_()
    out, (latents, codes) = ours(x), theirs(y)
    assert torch.equal(out.codes[..., 0], codes.long())
    torch.testing.assert_close(out.latents, latents)
    torch.testing.assert_close(gradients(out.latents, out.loss, x), gradients(latents, 0.0, y))
    torch.testing.assert_close(ours.decode(out.codes), theirs.indices_to_codes(codes))


@pytest.mark.parametrize("is_spherical", [False, True])
def test_lfq_and_bsq(is_spherical):
    kind = BSQ if is_spherical else LFQ
    ours = kind(7, entropy=BitEntropy(0.1, 0.8, inverse_temperature=2.0), commitment=0.25).train()
    theirs = peer.LFQ(
        dim=7,
        entropy_loss_weight=0.1,
        commitment_loss_weight=0.25,
        diversity_gamma=0.8,
        spherical=is_spherical,
    ).train()
    x, y = vectors(7).requires_grad_(), vectors(7).requires_grad_()
    out = ours(x)
    # It counts bits from the top, we from the bottom, as the paper does.
    latents, codes, loss = theirs(y.flip(-1), inv_temperature=2.0)
    assert torch.equal(out.codes[..., 0], codes)
    torch.testing.assert_close(out.loss, loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.latents, latents.flip(-1))
    ours_x, theirs_y = gradients(out.latents, out.loss, x), gradients(latents.flip(-1), loss, y)
    torch.testing.assert_close(ours_x, theirs_y, rtol=1e-3, atol=1e-4)


def test_random_projection():
    ours = RandomProjectionQuantizer(64, 20, codebook_dim=8)
    theirs = peer.RandomProjectionQuantizer(dim=20, codebook_size=64, codebook_dim=8)
    theirs.rand_projs.copy_(ours.projection_QDE)
    theirs.vq._codebook.embed.copy_(ours.codebook_QKE)
    x = vectors(20)
    assert_same_codes(ours.encode(x)[..., 0], theirs(x))
