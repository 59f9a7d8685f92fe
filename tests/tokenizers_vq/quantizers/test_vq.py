import pytest
import torch

from tokenizers_vq.contract import Key
from tokenizers_vq.quantizers import VectorQuantizer
from tokenizers_vq.quantizers.kmeans import kmeans, pick_rows
from tokenizers_vq.quantizers.statistics import count_codes, perplexity, usage


def vectors(count, dim=4, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_moving_averages_agree_with_the_slow_twin(reference_quantize):
    quantizer = VectorQuantizer(6, 4, decay=0.8, init="normal", revive_below=0.0).train()
    twin = reference_quantize.MovingAverageCodebook(quantizer.codebook_KD, 0.8)
    is_valid = torch.arange(40) < 33
    for step in range(5):
        quantizer(vectors(40, seed=step), is_valid)
        expected = twin.step(vectors(40, seed=step), is_valid)
        torch.testing.assert_close(quantizer.codebook_KD.double(), expected, rtol=1e-4, atol=1e-5)


def test_loss_is_the_commitment():
    quantizer = VectorQuantizer(6, 4, commitment=0.5, init="normal").eval()
    x = vectors(10)
    out = quantizer(x)
    torch.testing.assert_close(out.loss, 0.5 * (x - quantizer.decode(out.codes)).square().mean())


def test_kmeans_finds_separate_clusters_and_depends_on_the_key_alone():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    x = centres.repeat(50, 1) + 0.1 * vectors(150, dim=2)
    weight = torch.ones(150)
    runs = [kmeans(x, weight, 3, Key(seed)) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    found = {tuple((row / 10).round().tolist()) for row in kmeans(x, weight, 12, Key(3))}
    assert found == {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)}


def test_kmeans_with_fewer_vectors_than_codes_takes_real_ones():
    x = torch.cat([vectors(3), torch.full((5, 4), 99.0)])
    weight = (torch.arange(8) < 3).float()
    assert kmeans(x, weight, 6, Key(0)).max() < 50


def test_rows_are_picked_among_the_valid_evenly():
    weight = (torch.arange(10) % 2).float()
    rows = pick_rows(torch.arange(10.0)[:, None], weight, 5000, Key(0)).long()[:, 0]
    counts = torch.bincount(rows, minlength=10)
    assert counts[::2].sum() == 0
    assert counts[1::2].min() > 900


def test_dead_codes_are_put_on_vectors_of_the_batch():
    quantizer = VectorQuantizer(8, 4, decay=0.5, init="normal", revive_below=0.1).train()
    quantizer.codebook_KD[4:] += 1000  # never the nearest
    quantizer.ema_sum_KD[4:] += 1000
    revived = 0.0
    for step in range(12):
        out = quantizer(vectors(64, seed=step))
        revived += float(out.metrics["revived"])
    assert revived >= 4
    assert quantizer.codebook_KD.abs().max() < 10
    assert float(quantizer(vectors(64)).metrics["dead"]) == 0


def test_a_revived_code_equals_a_vector_of_the_batch():
    quantizer = VectorQuantizer(4, 4, decay=0.0, init="normal").train()
    quantizer.codebook_KD[3] = 1000.0
    x = vectors(32)
    quantizer(x)
    assert (x == quantizer.codebook_KD[3]).all(dim=1).any()


def test_a_batch_without_valid_vectors_changes_no_code():
    quantizer = VectorQuantizer(4, 4, init="normal").train()
    before = quantizer.codebook_KD.clone()
    for _ in range(3):
        quantizer(vectors(8), torch.zeros(8, dtype=torch.bool))
    torch.testing.assert_close(quantizer.codebook_KD, before)


def test_usage_forgets_codes_that_are_no_longer_used():
    quantizer = VectorQuantizer(4, 1, init="normal", revive_below=0.0).train()
    quantizer.codebook_KD[:] = torch.arange(4.0)[:, None]
    quantizer.ema_sum_KD[:] = torch.arange(4.0)[:, None]
    assert float(quantizer(torch.arange(4.0)[:, None]).metrics["usage"]) == 1
    for _ in range(100):
        out = quantizer(torch.zeros(4, 1))
    assert float(out.metrics["usage"]) == 0.25


def test_statistics():
    counts = count_codes(torch.tensor([[[0, 1], [0, 1]], [[2, 1], [0, 3]]]), 4)
    assert counts.tolist() == [[3, 0, 1, 0], [0, 3, 0, 1]]
    assert float(usage(counts[0])) == 0.5
    assert float(perplexity(torch.ones(4))) == pytest.approx(4)
    assert float(perplexity(torch.tensor([5.0, 0, 0]))) == pytest.approx(1)
    assert float(perplexity(torch.zeros(3))) == pytest.approx(1)


@pytest.mark.parametrize("wrong", [{"codebook_size": 0}, {"dim": 0}, {"decay": 1.0}, {"init": "zeros"}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VectorQuantizer(**({"codebook_size": 4, "dim": 4} | wrong))
