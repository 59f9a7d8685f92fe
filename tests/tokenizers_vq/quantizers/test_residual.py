import pytest
import torch

from tokenizers_vq.quantizers import FSQ, LFQ, GradientVQ, ResidualQuantizer, ResidualVQ, VectorQuantizer


def vectors(count, seed=0):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))


def test_agrees_with_the_slow_twin(reference_quantize):
    quantizer = ResidualVQ(3, 8, 4).train()
    for step in range(4):
        quantizer(vectors(64, step))
    quantizer.eval()
    codebooks = torch.stack([level.codebook_KD for level in quantizer.levels])
    codes, summed = reference_quantize.residual_codes(vectors(30, 9), codebooks)
    assert torch.equal(quantizer.encode(vectors(30, 9)), codes)
    torch.testing.assert_close(quantizer.decode(codes).double(), summed, rtol=1e-5, atol=1e-5)


def test_each_level_lowers_the_error_and_first_levels_decode_alone():
    quantizer = ResidualVQ(4, 32, 4, decay=0.9).train()
    for step in range(30):
        quantizer(vectors(256, step))
    x = vectors(512, 99)
    codes = quantizer.eval().encode(x)
    errors = [float((quantizer.decode(codes[:, :q]) - x).square().mean()) for q in range(1, 5)]
    assert errors == sorted(errors, reverse=True)


def test_one_level_is_plain_vector_quantization():
    one, plain = ResidualVQ(1, 8, 4, seed=3).train(), VectorQuantizer(8, 4, seed=3000).train()
    for step in range(3):
        a, b = one(vectors(40, step)), plain(vectors(40, step))
        assert torch.equal(a.codes, b.codes)
        torch.testing.assert_close(a.loss, b.loss)


def test_dropout_sums_the_first_levels_of_whole_samples():
    quantizer = ResidualVQ(4, 16, 4, quantizer_dropout=1.0, init="normal", revive_below=0.0).train()
    codebooks = [level.codebook_KD.clone() for level in quantizer.levels]
    out = quantizer(torch.randn(64, 6, 4, generator=torch.Generator().manual_seed(0)))
    depths = set()
    for codes, latents in zip(out.codes, out.latents):
        sums = torch.stack([codebooks[q][codes[:, q]] for q in range(4)]).cumsum(0)
        is_equal = torch.isclose(sums, latents, atol=1e-5).all(dim=2).all(dim=1)
        assert int(is_equal.sum()) == 1
        depths.add(int(is_equal.nonzero()) + 1)
    assert depths == {1, 2, 3, 4}


def test_dropout_does_nothing_outside_training():
    quantizer = ResidualVQ(3, 16, 4, quantizer_dropout=1.0).eval()
    out = quantizer(vectors(20))
    torch.testing.assert_close(quantizer.decode(out.codes), out.latents)


def test_a_shared_codebook_is_one_and_learns_from_every_level():
    quantizer = ResidualVQ(3, 32, 4, decay=0.9, shares_codebook=True).train()
    for step in range(30):
        quantizer(vectors(256, step))
    assert len(quantizer.levels) == 1
    assert int(quantizer.levels[0].num_updates) == 90
    codebook = quantizer.levels[0].codebook_KD
    assert torch.equal(quantizer.code_vectors(), codebook.expand(3, -1, -1))
    x = vectors(512, 99)
    codes = quantizer.eval().encode(x)
    torch.testing.assert_close(quantizer.decode(codes), codebook[codes].sum(dim=1))
    errors = [float((quantizer.decode(codes[:, :q]) - x).square().mean()) for q in range(1, 4)]
    assert errors == sorted(errors, reverse=True)


def test_levels_of_any_kind_agree_with_the_slow_twin(reference_quantize):
    quantizer = ResidualQuantizer([GradientVQ(8, 4, init="normal", seed=seed) for seed in range(3)]).eval()
    codebooks = torch.stack([level.codebook_KD.detach() for level in quantizer.levels])
    codes, summed = reference_quantize.residual_codes(vectors(30, 9), codebooks)
    assert torch.equal(quantizer.encode(vectors(30, 9)), codes)
    torch.testing.assert_close(quantizer.decode(codes).double(), summed, rtol=1e-5, atol=1e-5)


def test_levels_of_any_kind_pass_the_gradient_once():
    quantizer = ResidualQuantizer([GradientVQ(8, 4, init="normal", seed=seed) for seed in range(3)]).train()
    x = vectors(20).requires_grad_()
    weights = vectors(20, 1)
    (gradient,) = torch.autograd.grad((quantizer(x).latents * weights).sum(), x)
    torch.testing.assert_close(gradient, weights)


def test_levels_that_differ_are_refused():
    with pytest.raises(ValueError, match="all alike"):
        ResidualQuantizer([])
    with pytest.raises(ValueError, match="all alike"):
        ResidualQuantizer([LFQ(2), FSQ((3, 3))])
    with pytest.raises(ValueError, match="one codebook each"):
        ResidualQuantizer([LFQ(2, num_codebooks=2)])
    with pytest.raises(ValueError, match="1 to 2 codebooks"):
        ResidualQuantizer([LFQ(2), LFQ(2)]).decode(torch.zeros(3, 3, dtype=torch.int64))


def test_wrong_arguments_and_codes():
    with pytest.raises(ValueError, match="num_codebooks=0"):
        ResidualVQ(0, 4, 4)
    with pytest.raises(ValueError, match="quantizer_dropout=2"):
        ResidualVQ(1, 4, 4, quantizer_dropout=2.0)
    with pytest.raises(ValueError, match="1 to 2 codebooks"):
        ResidualVQ(2, 4, 4).decode(torch.zeros(3, 3, dtype=torch.int64))
