"""What every quantizer does; a new one joins by an entry in EXAMPLES."""

import importlib
import inspect
import pkgutil

import pytest
import torch

import tokenizers_vq.quantizers as package
from tokenizers_vq.quantizers import (
    BSQ,
    FSQ,
    LFQ,
    BitEntropy,
    CosineVQ,
    GradientVQ,
    GroupedQuantizer,
    GumbelQuantizer,
    Orthogonality,
    ProjectedQuantizer,
    Quantizer,
    RandomProjectionQuantizer,
    ResidualQuantizer,
    ResidualVQ,
    SoftEntropy,
    VectorQuantizer,
)

EXAMPLES = {
    VectorQuantizer: [
        lambda: VectorQuantizer(16, 4, decay=0.9),
        lambda: VectorQuantizer(16, 4, init="normal"),
    ],
    ResidualVQ: [
        lambda: ResidualVQ(3, 8, 4, decay=0.9),
        lambda: ResidualVQ(2, 8, 4, quantizer_dropout=0.5),
        lambda: ResidualVQ(3, 8, 4, shares_codebook=True),
    ],
    ResidualQuantizer: [
        lambda: ResidualQuantizer([GradientVQ(8, 4, seed=seed) for seed in range(3)]),
        lambda: ResidualQuantizer(
            [ProjectedQuantizer(4, GradientVQ(8, 2, metric="cosine", seed=seed)) for seed in range(2)], 0.5
        ),
    ],
    GradientVQ: [
        lambda: GradientVQ(16, 4, regularisers=[Orthogonality(), SoftEntropy()]),
        lambda: GradientVQ(16, 4, metric="cosine", init="normal", revive_below=1.0),
    ],
    CosineVQ: [lambda: CosineVQ(16, 4, decay=0.9), lambda: CosineVQ(16, 4, init="normal", revive_below=1.0)],
    ProjectedQuantizer: [
        lambda: ProjectedQuantizer(4, CosineVQ(16, 2)),
        lambda: ProjectedQuantizer(4, LFQ(6, num_codebooks=2)),
    ],
    GroupedQuantizer: [
        lambda: GroupedQuantizer([VectorQuantizer(8, 2, seed=0), VectorQuantizer(8, 2, seed=1)]),
        lambda: GroupedQuantizer([ResidualVQ(2, 15, 2), FSQ((3, 5))]),
    ],
    GumbelQuantizer: [lambda: GumbelQuantizer(16, 4, anneal_steps=4)],
    RandomProjectionQuantizer: [lambda: RandomProjectionQuantizer(16, 4, codebook_dim=2, num_codebooks=2)],
    FSQ: [lambda: FSQ((8, 5, 3, 4))],
    LFQ: [lambda: LFQ(4), lambda: LFQ(4, num_codebooks=2, entropy=BitEntropy(weight=0.0))],
    BSQ: [lambda: BSQ(4), lambda: BSQ(4, num_codebooks=4, commitment=0.1)],
}
MAKERS = [maker for makers in EXAMPLES.values() for maker in makers]
# Those that neither squash, normalise, project nor mix the latents.
IDENTITY_GRADIENT = (VectorQuantizer, ResidualVQ, GradientVQ, RandomProjectionQuantizer, LFQ)


def latents(seed=0, shape=(4, 10)):
    return torch.randn(*shape, 4, generator=torch.Generator().manual_seed(seed))


def made(maker):
    torch.manual_seed(0)  # of torch's own layers
    return maker().train()


def trained(maker, steps=3):
    quantizer = made(maker)
    for step in range(steps):
        quantizer(latents(step))
    return quantizer


def test_every_quantizer_has_an_example():
    found = set()
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found |= {
            c
            for _, c in inspect.getmembers(module, inspect.isclass)
            if issubclass(c, Quantizer) and not inspect.isabstract(c)
        }
    assert found == set(EXAMPLES)


@pytest.mark.parametrize("maker", MAKERS)
def test_shapes_ranges_and_round_trip(maker):
    quantizer = trained(maker).eval()
    out = quantizer(latents(9))
    assert out.latents.shape == (4, 10, 4)
    assert out.codes.shape == (4, 10, quantizer.num_codebooks)
    assert out.codes.dtype == torch.int64
    assert 0 <= int(out.codes.min()) <= int(out.codes.max()) < quantizer.codebook_size
    assert out.loss.shape == ()
    assert all(v.shape == () and not v.requires_grad for v in out.metrics.values())
    assert torch.equal(quantizer.encode(latents(9)), out.codes)
    torch.testing.assert_close(quantizer.decode(out.codes), out.latents)


@pytest.mark.parametrize("maker", MAKERS)
def test_gradient_passes_once(maker):
    quantizer = trained(maker)
    x = latents(5).requires_grad_()
    out = quantizer(x)
    weights = torch.randn(out.latents.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((out.latents * weights).sum(), x)
    if isinstance(quantizer, IDENTITY_GRADIENT):
        assert torch.equal(gradient, weights)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("maker", MAKERS)
def test_losses_have_finite_gradients(maker):
    quantizer = trained(maker)
    x = latents(5).requires_grad_()
    out = quantizer(x)
    (out.loss + out.latents.square().mean()).backward()
    gradients = [x.grad, *(p.grad for p in quantizer.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("maker", MAKERS)
def test_eval_changes_nothing(maker):
    quantizer = trained(maker).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(latents(7))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


@pytest.mark.parametrize("maker", MAKERS)
def test_resume_is_exact(maker):
    straight = trained(maker, steps=6)
    resumed = made(maker)
    resumed.load_state_dict(trained(maker, steps=3).state_dict())
    for step in range(3, 6):
        resumed(latents(step))
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("maker", MAKERS)
def test_padding_does_not_count(maker):
    is_valid = torch.arange(10) < torch.tensor([10, 7, 3, 1])[:, None]
    states = []
    for filler in (0.0, 100.0):
        quantizer = made(maker)
        for step in range(4):
            x = torch.where(is_valid[..., None], latents(step), filler)
            out = quantizer(x, is_valid)
        states.append((quantizer.state_dict(), out))
    (first, out_1), (second, out_2) = states
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(out_1.loss, out_2.loss)
    assert torch.equal(out_1.codes[is_valid], out_2.codes[is_valid])


@pytest.mark.parametrize("maker", MAKERS)
def test_codes_are_the_same_under_autocast(maker):
    quantizer = trained(maker).eval()
    if any(isinstance(module, torch.nn.Linear) for module in quantizer.modules()):
        pytest.skip("its linear layers are meant to run in bfloat16")
    expected = quantizer(latents(9)).codes
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(quantizer.encode(latents(9)), expected)
        assert torch.equal(quantizer(latents(9)).codes, expected)


@pytest.mark.parametrize("maker", MAKERS)
def test_latents_keep_their_dtype(maker):
    quantizer = trained(maker)
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(latents(9).bfloat16().requires_grad_())
    assert out.latents.dtype == torch.bfloat16
    assert out.loss.isfinite()


@pytest.mark.parametrize("maker", MAKERS)
def test_wrong_shapes_are_named(maker):
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 4\)"):
        maker()(torch.randn(2, 5))
    with pytest.raises(ValueError, match="is_valid of shape"):
        maker()(latents(), torch.ones(3, dtype=torch.bool))


@pytest.mark.parametrize("make", MAKERS)
def test_the_first_codebooks_decode_alone_where_it_is_said(make):
    quantizer = make().eval()
    x = torch.randn(2, 5, quantizer.dim, generator=torch.Generator().manual_seed(0))
    codes = quantizer.encode(x)
    assert 1 <= quantizer.fewest_codebooks <= quantizer.num_codebooks
    for count in range(quantizer.fewest_codebooks, quantizer.num_codebooks + 1):
        assert quantizer.decode(codes[..., :count]).shape == x.shape
