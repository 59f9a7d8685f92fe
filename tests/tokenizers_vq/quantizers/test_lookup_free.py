import pytest
import torch

from tokenizers_vq.quantizers import BSQ, FSQ, LFQ, BitEntropy
from tokenizers_vq.quantizers.bits import bit_entropy, code_probabilities, codebook_entropy


def vectors(rows, dim, seed=0):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (4, 3), (9,)])
@pytest.mark.parametrize("rows", [32, 33, 1])
def test_fsq_agrees_with_the_slow_twin(reference_quantize, levels, rows):
    quantizer, x = FSQ(levels), 3 * vectors(rows, len(levels))
    for code, x_D in zip(quantizer.encode(x)[:, 0].tolist(), x):
        digits = reference_quantize.fsq_digits(x_D, levels)
        for digit, size in zip(digits, levels):
            assert code % size == digit
            code //= size


def test_fsq_reaches_every_code_and_decodes_it_to_its_own_place():
    quantizer = FSQ((8, 5, 4))
    points = quantizer.decode(torch.arange(160)[:, None])
    assert points.unique(dim=0).shape == (160, 3)
    assert points.abs().max() == 1
    far = torch.tensor([[-20.0, -20.0, -20.0], [20.0, 20.0, 20.0]])
    assert quantizer.encode(far)[:, 0].tolist() == [0, 159]


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
@pytest.mark.parametrize("inverse_temperature", [0.5, 3.0])
def test_entropies_agree_with_the_softmax_over_all_codes(reference_quantize, bits, inverse_temperature):
    x, scale = vectors(60, bits), 0.7
    sure, spread = reference_quantize.corner_entropies(x, scale, inverse_temperature)
    logits = 4 * inverse_temperature * scale * x
    torch.testing.assert_close(bit_entropy(logits).sum(dim=1).mean().double(), sure)
    exact = codebook_entropy(logits.sigmoid(), torch.ones(60))
    torch.testing.assert_close(exact.double(), spread, rtol=1e-5, atol=1e-5)
    loss = BitEntropy(0.5, 2.0, inverse_temperature)(x, torch.ones(60), scale)
    torch.testing.assert_close(loss.double(), 0.5 * (sure - 2.0 * spread), rtol=1e-5, atol=1e-5)


def test_probabilities_of_codes_count_the_lowest_bit_first():
    p = code_probabilities(torch.tensor([[1.0, 0.0, 1.0]]))
    assert p.argmax() == 0b101
    assert p.shape == (1, 8)


def test_groups_of_bits_bound_the_entropy_from_above_and_are_exact_for_one_group():
    p, weight = vectors(50, 6).sigmoid(), torch.ones(50)
    exact = codebook_entropy(p, weight)
    torch.testing.assert_close(codebook_entropy(p, weight, 6), exact)
    assert exact <= codebook_entropy(p, weight, 3) <= codebook_entropy(p, weight, 1)


def test_a_quarter_of_a_million_codes_learn():
    quantizer = LFQ(18, num_codebooks=2).train()
    x = vectors(256, 18).requires_grad_()
    out = quantizer(x)
    assert quantizer.codebook_size == 512
    (gradient,) = torch.autograd.grad(out.loss, x)
    assert gradient.isfinite().all()
    # 256 sure codes, nearly all different.
    assert (
        -0.1 * 5.6
        < float(out.loss.detach()) - 0.25 * float((x - out.latents).detach().square().mean())
        < -0.1 * 5.0
    )


def test_sub_ids_are_the_digits_of_the_id():
    x = vectors(40, 6)
    whole, parts = LFQ(6).encode(x), LFQ(6, num_codebooks=3).encode(x)
    assert torch.equal(whole[:, 0], (parts * torch.tensor([1, 4, 16])).sum(dim=1))


def test_codes_of_the_sphere_have_unit_length():
    quantizer, x = BSQ(9, num_codebooks=3), 50 * vectors(20, 9)
    out = quantizer.eval()(x)
    torch.testing.assert_close(out.latents.norm(dim=1), torch.ones(20))
    assert torch.equal(out.codes, LFQ(9, num_codebooks=3).encode(x))


def test_entropy_makes_unused_codes_used():
    torch.manual_seed(0)
    linear = torch.nn.Linear(4, 4)
    torch.nn.init.constant_(linear.bias, 3.0)
    quantizer = LFQ(4, entropy=BitEntropy(1.0, 1.0, inverse_temperature=1.0), commitment=0.1).train()
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.05)
    before = quantizer.encode(linear(vectors(256, 4))).unique().numel()
    for step in range(150):
        optimizer.zero_grad()
        quantizer(linear(vectors(256, 4, seed=step))).loss.backward()
        optimizer.step()
    assert before <= 4
    assert quantizer.encode(linear(vectors(256, 4))).unique().numel() >= 14


def test_wrong_arguments():
    with pytest.raises(ValueError, match="3 levels"):
        FSQ((8, 2))
    with pytest.raises(ValueError, match="GroupedQuantizer"):
        FSQ((16,) * 7)
    with pytest.raises(ValueError, match="dim=7 bits"):
        LFQ(7, num_codebooks=2)
    with pytest.raises(ValueError, match="raise num_codebooks"):
        BSQ(36)
    with pytest.raises(ValueError, match="group_bits"):
        LFQ(36, num_codebooks=2)
    with pytest.raises(ValueError, match="group_bits=0"):
        BitEntropy(group_bits=0)
