import pytest
import torch
from torch import nn

from tokenizers_vq.adversarial import (
    AdaptiveWeight,
    Adversary,
    FeatureMatching,
    FixedWeight,
    GradientPenalty,
    LeCam,
    PatchDiscriminator,
    pull_back,
)
from tokenizers_vq.trainable import TokenizerOutput


def decoder() -> nn.Conv2d:
    torch.manual_seed(1)
    return nn.Conv2d(3, 3, 1)


def output(layer: nn.Conv2d) -> TokenizerOutput:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 16, 16, generator=generator)
    y = layer(torch.rand(2, 3, 16, 16, generator=generator))
    loss = (y - target).square().mean()
    return TokenizerOutput(
        loss, y, torch.zeros(2, 1, dtype=torch.int64), {"reconstruction": loss}, target=target
    )


def adversary(**changes) -> Adversary:
    torch.manual_seed(2)
    return Adversary(PatchDiscriminator(width=8, depth=1), **changes)


def test_late_start_of_both():
    against = adversary(start_step=2, generator_delay=3)
    assert [against.is_learning(step) for step in (1, 2)] == [False, True]
    layer = decoder()
    out = output(layer)
    early, metrics = against.tokenizer_loss(out, 4, layer.weight)
    assert torch.equal(early, out.loss)
    assert not metrics
    late, metrics = against.tokenizer_loss(out, 5, layer.weight)
    assert float(late) == pytest.approx(float(out.loss + 0.1 * metrics["adversarial"]))


def test_adaptive_weight_makes_gradients_equal():
    layer = decoder()
    out = output(layer)
    against = adversary(weighting=AdaptiveWeight(weight=0.5))
    total, metrics = against.tokenizer_loss(out, 0, layer.weight)
    (own,) = torch.autograd.grad(out.loss, layer.weight, retain_graph=True)
    (both,) = torch.autograd.grad(total, layer.weight)
    assert float((both - own).norm()) == pytest.approx(0.5 * float(own.norm()), rel=1e-2)
    assert float(metrics["adaptive_weight"]) > 0


def test_adaptive_weight_is_bounded():
    layer = decoder()
    _, metrics = adversary(weighting=AdaptiveWeight(largest=1e-3)).tokenizer_loss(
        output(layer), 0, layer.weight
    )
    assert float(metrics["adaptive_weight"]) == pytest.approx(1e-3)


def test_a_pulled_back_loss_has_its_gradient():
    layer = decoder()
    out = output(layer)
    loss = out.reconstruction.square().mean() + out.reconstruction.abs().sum()
    pulled = pull_back(loss, out.reconstruction)
    (direct,) = torch.autograd.grad(loss, layer.weight, retain_graph=True)
    (through,) = torch.autograd.grad(pulled, layer.weight)
    torch.testing.assert_close(through, direct)


def test_feature_matching_is_a_second_loss():
    layer = decoder()
    out = output(layer)
    against = adversary(feature_matching=FeatureMatching(), weighting=FixedWeight(1.0))
    total, metrics = against.tokenizer_loss(out, 0, None)
    parts = metrics["adversarial"] + metrics["feature_matching"]
    torch.testing.assert_close(total, out.loss + parts)


def test_the_discriminator_learns_to_tell_and_sends_nothing_back():
    layer = decoder()
    against = adversary(gradient_penalty=GradientPenalty(0.1, every=4), lecam=LeCam(0.01), loss=None)
    optimizer = torch.optim.Adam(against.discriminator.parameters(), lr=3e-3)
    losses = []
    for step in range(12):
        out = output(layer)
        loss, metrics = against.discriminator_loss(out.target, out.reconstruction, step)
        assert ("gradient_penalty" in metrics) == (step % 4 == 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(metrics["discriminator"]))
    assert losses[-1] < 0.7 * losses[0]
    assert {"lecam", "logits_real", "logits_fake"} <= set(metrics)
    assert layer.weight.grad is None


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="start_step"):
        adversary(start_step=-1)
