"""GradientVQ, CosineVQ, GumbelQuantizer and their parts."""

import pytest
import torch

from tokenizers_vq.contract import Key
from tokenizers_vq.quantizers import (
    FSQ,
    CosineVQ,
    GradientVQ,
    GroupedQuantizer,
    GumbelQuantizer,
    Orthogonality,
    ProjectedQuantizer,
    RandomProjectionQuantizer,
    ResidualVQ,
    SoftEntropy,
    VectorQuantizer,
)
from tokenizers_vq.quantizers.kmeans import kmeans
from tokenizers_vq.quantizers.usage import CodeUsage


def vectors(rows, dim=4, seed=0):
    return torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed))


def test_cosine_codes_turn_as_the_slow_twin_says(reference_quantize):
    quantizer = CosineVQ(6, 4, decay=0.7, init="normal", revive_below=0.0).train()
    expected = quantizer.codebook_KD.double()
    is_valid = torch.arange(40) < 33
    for step in range(5):
        quantizer(vectors(40, seed=step), is_valid)
        expected = reference_quantize.cosine_step(expected, vectors(40, seed=step), is_valid, 0.7)
        torch.testing.assert_close(quantizer.codebook_KD.double(), expected, rtol=1e-4, atol=1e-5)


def test_cosine_codes_do_not_depend_on_the_length_of_latents():
    quantizer, x = CosineVQ(16, 4, init="normal").eval(), vectors(50)
    assert torch.equal(quantizer.encode(x), quantizer.encode(x * torch.rand(50, 1).add(0.1)))


def test_spherical_kmeans_keeps_centres_on_the_sphere():
    x = torch.nn.functional.normalize(vectors(200), dim=1)
    centres = kmeans(x, torch.ones(200), 8, Key(0), is_spherical=True)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(8))


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_gradient_training_lowers_the_error(metric):
    quantizer = GradientVQ(32, 4, metric=metric, init="normal", seed=1).train()
    quantizer.codebook_KD.data *= 0.1
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    losses = []
    for step in range(60):
        out = quantizer(vectors(256, seed=step))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.loss.detach()))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("kind", [GradientVQ, CosineVQ])
def test_dead_codes_are_put_on_latents_of_the_batch(kind):
    quantizer = kind(8, 4, init="normal", revive_below=0.5).train()
    quantizer.usage.decay = 0.5
    x = torch.nn.functional.normalize(vectors(16), dim=1)
    with torch.no_grad():  # all codes but one lie where no latent is
        quantizer.codebook_KD[:] = -x.mean(dim=0)
        quantizer.codebook_KD[0] = x.mean(dim=0)
    revived = sum(float(quantizer(x).metrics["revived"]) for _ in range(6))
    assert revived >= 4
    assert float(quantizer(x).metrics["usage"]) >= 0.5


@pytest.mark.parametrize("kind", [VectorQuantizer, GradientVQ, CosineVQ])
def test_kmeans_starts_from_the_first_training_batch_alone(kind):
    places = torch.nn.functional.normalize(vectors(8, dim=6), dim=1)
    x = places.repeat(20, 1) + 0.01 * vectors(160, dim=6)
    quantizer = kind(48, 6, init="kmeans", revive_below=0.0)
    before = quantizer.codebook_KD.detach().clone()
    quantizer.eval()(x)
    assert torch.equal(quantizer.codebook_KD, before)
    error = quantizer.train()(x).loss.detach()
    assert float(error) < 1e-3  # so many centres that each place has one
    started = quantizer.codebook_KD.detach().clone()
    quantizer(-x)  # far from all codes: another start would move them there
    moved = (quantizer.codebook_KD.detach() - started).norm(dim=1)
    assert float(moved.median()) < 0.1


def test_nothing_is_revived_without_a_valid_latent():
    quantizer = GradientVQ(8, 4, init="normal", revive_below=1.0).train()
    before = quantizer.codebook_KD.detach().clone()
    for _ in range(3):
        quantizer(vectors(8), torch.zeros(8, dtype=torch.bool))
    assert torch.equal(quantizer.codebook_KD, before)


def test_soft_entropy_agrees_with_the_slow_twin_in_chunks(reference_quantize, monkeypatch):
    x, codebook = vectors(30), vectors(12, seed=1).requires_grad_()
    sure, spread = reference_quantize.soft_entropies(x, codebook.detach(), 0.3)
    losses, grads = [], []
    for scores in (1 << 22, 12 * 7):
        monkeypatch.setattr("tokenizers_vq.quantizers.regularisers._CHUNK_SCORES", scores)
        loss = SoftEntropy(0.5, 0.3, 2.0)(x, torch.ones(30), codebook)
        torch.testing.assert_close(loss.detach().double(), 0.5 * (sure - 2 * spread), rtol=1e-4, atol=1e-4)
        grads.append(torch.autograd.grad(loss, codebook)[0])
        losses.append(loss)
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*grads)


def test_orthogonality_is_zero_for_orthogonal_codes():
    loss = Orthogonality(1.0)
    weight = torch.ones(1)
    assert float(loss(vectors(1), weight, 3 * torch.eye(4))) == pytest.approx(0)
    assert float(loss(vectors(1), weight, torch.ones(4, 4))) == pytest.approx(0.75)


def test_gumbel_in_training_is_a_mixture_that_sharpens():
    quantizer = GumbelQuantizer(6, 4, temperature=5.0, final_temperature=1e-3, anneal_steps=10).train()
    errors, temperatures = [], []
    for _ in range(12):
        temperatures.append(quantizer.temperature())
        out = quantizer(vectors(40))
        errors.append(float((out.latents.detach() - quantizer.decode(out.codes).detach()).abs().mean()))
    assert temperatures[0] == 5.0
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[-1] == pytest.approx(1e-3)
    assert errors[0] > 0.1 > 1e-3 > errors[-1]


def test_gumbel_samples_codes_as_often_as_the_softmax_says():
    quantizer = GumbelQuantizer(5, 4, seed=3).train()
    x = vectors(1).expand(20000, 4)
    share = torch.bincount(quantizer(x).codes[:, 0], minlength=5) / 20000
    expected = quantizer.to_logits(x[0]).softmax(dim=0).detach()
    torch.testing.assert_close(share, expected, atol=0.02, rtol=0)


def test_gumbel_kl_is_zero_for_even_codes_and_log_k_for_one():
    quantizer = GumbelQuantizer(8, 4, kl_weight=1.0).eval()
    torch.nn.init.zeros_(quantizer.to_logits.weight)
    assert float(quantizer(vectors(5)).loss.detach()) == pytest.approx(0, abs=1e-6)
    quantizer.to_logits.bias.data[2] = 100
    assert float(quantizer(vectors(5)).loss.detach()) == pytest.approx(torch.tensor(8.0).log().item())


def test_random_projection_depends_on_its_seed_alone_and_never_learns():
    first, again, other = (RandomProjectionQuantizer(32, 10, 4, seed=seed) for seed in (0, 0, 1))
    x = vectors(100, 10)
    assert torch.equal(first.encode(x), again.encode(x))
    assert (first.encode(x) != other.encode(x)).any()
    assert not list(first.parameters())
    # Standardised latents: neither scale nor offset matters.
    assert torch.equal(first.encode(x), first.encode(3 * x + 1))


def test_a_decoded_random_projection_projects_onto_its_code():
    quantizer = RandomProjectionQuantizer(32, 10, 4)
    latents = quantizer.decode(torch.arange(32)[:, None])
    torch.testing.assert_close(latents @ quantizer.projection_QDE[0], quantizer.codebook_QKE[0])


def test_groups_work_as_if_alone():
    def make():
        return [ResidualVQ(2, 15, 3, seed=1), FSQ((3, 5))]

    grouped, alone = GroupedQuantizer(make()).train(), [part.train() for part in make()]
    x = vectors(40, 5)
    out, outs = grouped(x), [part(half) for part, half in zip(alone, x.split([3, 2], dim=1))]
    assert torch.equal(out.codes, torch.cat([part.codes for part in outs], dim=1))
    assert torch.equal(out.latents, torch.cat([part.latents for part in outs], dim=1))
    torch.testing.assert_close(out.loss, (outs[0].loss + outs[1].loss) / 2)
    assert {name for name in out.metrics if name.startswith("usage")} == {"usage/0", "usage/1", "usage/2"}


def test_own_projections_are_used():
    down = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Tanh(), torch.nn.Linear(6, 4))
    quantizer = ProjectedQuantizer(6, VectorQuantizer(8, 4, init="normal"), project_in=down).eval()
    x = vectors(10, 6)
    assert torch.equal(quantizer.encode(x), quantizer.quantizer.encode(down(x)))


def test_usage_counts_only_valid_codes_of_each_codebook():
    usage = CodeUsage(4, num_codebooks=2)
    counts = usage.update(torch.tensor([[0, 3], [0, 1], [2, 1]]), torch.tensor([True, True, False]))
    assert counts.tolist() == [[2, 0, 0, 0], [0, 1, 0, 1]]
    assert torch.equal(usage.update(torch.tensor([[0, 3]])), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1]]))
    assert float(usage.metrics()["usage/1"]) == 0.5


def test_wrong_arguments():
    with pytest.raises(ValueError, match="metric='dot'"):
        GradientVQ(8, 4, metric="dot")
    with pytest.raises(ValueError, match="init='zeros'"):
        CosineVQ(8, 4, init="zeros")
    with pytest.raises(ValueError, match="codebook_size=0"):
        GradientVQ(0, 4)
    with pytest.raises(ValueError, match=r"sizes \[8, 16\]"):
        GroupedQuantizer([VectorQuantizer(8, 2), VectorQuantizer(16, 2)])
    with pytest.raises(ValueError, match="final_temperature=0"):
        GumbelQuantizer(8, 4, final_temperature=0)
    with pytest.raises(ValueError, match="codebook_dim=0"):
        RandomProjectionQuantizer(8, 4, codebook_dim=0)
    with pytest.raises(ValueError, match="dim=0"):
        ProjectedQuantizer(0, VectorQuantizer(8, 2))
    with pytest.raises(ValueError, match="decay=1"):
        CosineVQ(8, 4, decay=1.0)
