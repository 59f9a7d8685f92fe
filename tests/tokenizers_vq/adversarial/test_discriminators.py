import pytest
import torch

from tokenizers_vq.adversarial import (
    GradientPenalty,
    MultiDiscriminator,
    PatchDiscriminator,
    StyleDiscriminator,
)


def images(batch=3, side=32, channels=3):
    return torch.rand(batch, channels, side, side, generator=torch.Generator().manual_seed(0))


def made(kind):
    torch.manual_seed(0)
    return {
        "patch": lambda: PatchDiscriminator(width=8, depth=2),
        "style": lambda: StyleDiscriminator(32, width=4, group_size=1),
        "multi": lambda: MultiDiscriminator([PatchDiscriminator(width=8, depth=d) for d in (1, 2)]),
    }[kind]()


@pytest.mark.parametrize("kind", ["patch", "style", "multi"])
def test_each_image_is_judged_alone(kind):
    discriminator = made(kind)
    whole = discriminator(images())
    one = discriminator(images()[1:2])
    for a, b in zip(whole.logits + whole.features, one.logits + one.features):
        torch.testing.assert_close(a[1:2], b, atol=1e-5, rtol=1e-4)


def test_shapes():
    assert [tuple(x.shape) for x in made("patch")(images()).logits] == [(3, 1, 6, 6)]
    assert [tuple(x.shape) for x in made("style")(images()).logits] == [(3, 1)]
    assert len(made("multi")(images()).logits) == 2
    # built for 32 pixels, but judging 48
    assert tuple(made("style")(images(side=48)).logits[0].shape) == (3, 1)


def test_a_patch_logit_sees_its_patch_alone():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(width=8, depth=1)
    for layer in discriminator.layers[1:]:
        layer[1] = torch.nn.Identity()  # group normalisation looks at all places
    media = images(1).requires_grad_()
    discriminator(media).logits[0][0, 0, 7, 7].backward()
    touched = media.grad.abs().sum(dim=(0, 1)) > 0
    assert int(touched.any(dim=0).sum()) == 16
    assert int(touched.any(dim=1).sum()) == 16


def test_the_spread_over_the_batch_is_seen():
    torch.manual_seed(0)
    discriminator = StyleDiscriminator(16, width=4, group_size=4)
    same = images(1, 16).repeat(4, 1, 1, 1)
    varied = images(4, 16)
    varied[0] = same[0]
    assert not torch.allclose(discriminator(same).logits[0][0], discriminator(varied).logits[0][0])


def test_gradient_penalty_of_a_linear_judge():
    class Slope(PatchDiscriminator):
        def forward(self, media):
            logits = media.flatten(1) @ self.head.weight.flatten()[:12, None]
            return type(super().forward(images(1)))([logits])

    judge = Slope(width=8)
    media = images(2, 2)
    slope = judge.head.weight.flatten()[:12].square().sum()
    penalty = GradientPenalty(weight=4.0, every=3)
    torch.testing.assert_close(penalty(judge, media), 3 * 2.0 * slope)
    penalty(judge, media).backward()
    assert judge.head.weight.grad is not None
    assert [penalty.is_due(step) for step in range(4)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: PatchDiscriminator(depth=0), "depth"),
        (lambda: PatchDiscriminator(width=12), "width"),
        (lambda: StyleDiscriminator(24), "image_size"),
        (lambda: StyleDiscriminator(32, group_size=0), "group_size"),
        (lambda: MultiDiscriminator([]), "discriminators"),
        (lambda: GradientPenalty(every=0), "every"),
    ],
)
def test_wrong_arguments_are_named(build, name):
    with pytest.raises(ValueError, match=name):
        build()
