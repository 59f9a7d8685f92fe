import pytest
import torch

from tokenizers_vq.adversarial import FeatureMatching, Hinge, LeastSquares, LeCam, NonSaturating

REAL, FAKE = torch.tensor([[2.0], [0.5]]), torch.tensor([[-3.0], [1.0]])


@pytest.mark.parametrize(
    ("loss", "discriminator", "generator"),
    [
        (Hinge(), (0.25 + 1.0) / 2, 1.0),
        (LeastSquares(), (1 + 0.25) / 2 + (9 + 1) / 2, (16 + 0) / 2),
    ],
)
def test_values_by_hand(loss, discriminator, generator):
    assert float(loss.discriminator(REAL, FAKE)) == pytest.approx(discriminator)
    assert float(loss.generator(FAKE)) == pytest.approx(generator)


def test_non_saturating_is_binary_cross_entropy():
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    expected = entropy(REAL, torch.ones(2, 1)) + entropy(FAKE, torch.zeros(2, 1))
    torch.testing.assert_close(NonSaturating().discriminator(REAL, FAKE), expected)
    torch.testing.assert_close(NonSaturating().generator(FAKE), entropy(FAKE, torch.ones(2, 1)))


@pytest.mark.parametrize("loss", [Hinge(), LeastSquares(), NonSaturating()])
def test_both_sides_pull_apart(loss):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    loss.discriminator(real, fake).backward()
    assert (real.grad <= 0).sum() >= 1  # up
    fake = torch.tensor([[-0.5]], requires_grad=True)
    loss.generator(fake).backward()
    assert fake.grad < 0


def test_lecam_starts_at_the_first_batch_and_follows():
    lecam = LeCam(weight=2.0, decay=0.5)
    first = lecam(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -1.0]))
    # averages 2 and -1: relu(1 + 1)^2, relu(3 + 1)^2 -> 10; relu(2 + 1)^2 -> 9
    assert float(first) == pytest.approx(2 * (10 + 9))
    lecam(torch.tensor([4.0]), torch.tensor([0.0]))
    assert lecam.mean_2.tolist() == [3.0, -0.5]


def test_feature_matching():
    real, fake = [torch.full((2, 4), 2.0)], [torch.full((2, 4), 3.0, requires_grad=True)]
    assert float(FeatureMatching(2.0)(real, fake)) == pytest.approx(2.0)
    assert float(FeatureMatching(2.0, is_relative=True)(real, fake)) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no features"):
        FeatureMatching()([], [])
