"""The codec against STFT discriminators, with the spectral loss and the balancer, in Lightning."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from tokenizers_vq.adversarial import Adversary, Balancer, FeatureMatching, MultiDiscriminator
from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.discriminator import STFTDiscriminator
from tokenizers_vq.audio.multi_scale_mel import MultiScaleMel
from tokenizers_vq.quantizers import ResidualVQ
from tokenizers_vq.trainable import TokenizerOutput
from tokenizers_vq.training import TokenizerModule


@pytest.mark.parametrize("size", [10, 500, 513])
def test_discriminator_judges_any_length(size):
    torch.manual_seed(0)
    judge = MultiDiscriminator([STFTDiscriminator(64, 4), STFTDiscriminator(32, 4)])
    x = torch.rand(2, 1, size)
    said = judge(x)
    assert [one.shape for one in said.logits] == [(2, 1, -(-size // 16), 5), (2, 1, -(-size // 8), 3)]
    assert len(said.features) == 10
    alone = judge(x[:1])
    torch.testing.assert_close(alone.logits[0], said.logits[0][:1])
    with pytest.raises(ValueError, match="expected"):
        judge(x[:, 0])


def output(scale: float = 1.0) -> TokenizerOutput:
    torch.manual_seed(0)
    made = torch.randn(3, 1, 50).requires_grad_()
    parts = {
        "reconstruction": scale * made.abs().mean(),
        "mel": 7 * scale * (made - 0.3).square().mean(),
        "quantizer": torch.tensor(0.5, requires_grad=True),
    }
    total = torch.stack(list(parts.values())).sum()
    return TokenizerOutput(total, made, torch.zeros(1, 1), parts, target=torch.zeros(3, 1, 50))


def test_balanced_gradients_have_the_shares_of_the_norm_whatever_the_losses_scale():
    shares = {"reconstruction": 1.0, "mel": 3.0, "adversarial": 4.0}
    for scale in (1.0, 1000.0):
        out = output(scale)
        right = torch.zeros(3, 1, 50)
        for name, share in (("reconstruction", 0.25), ("mel", 0.75)):
            (gradient,) = torch.autograd.grad(out.parts[name], out.reconstruction, retain_graph=True)
            right += share * 2.0 * gradient / gradient.flatten(1).norm(dim=1).mean()
        loss, metrics = Balancer(shares, total_norm=2.0)(out, {}, None)
        loss.backward()
        torch.testing.assert_close(out.reconstruction.grad, right)
        assert out.parts["quantizer"].grad is None or out.parts["quantizer"].grad == 1
        assert set(metrics) == {"gradient/reconstruction", "gradient/mel"}


def test_norms_are_averaged_over_steps_and_kept():
    balancer = Balancer({"mel": 1.0}, decay=0.5)
    norms = [balancer(output(scale), {}, None)[1]["gradient/mel"] for scale in (1.0, 3.0, 5.0)]
    first = norms[0]
    torch.testing.assert_close(norms[2] / first, torch.tensor((0.25 * 1 + 0.5 * 3 + 5) / 1.75))
    again = Balancer({"mel": 1.0}, decay=0.5)
    again.load_state_dict(balancer.state_dict())
    a, b = (one(output(2.0), {}, None)[1]["gradient/mel"] for one in (balancer, again))
    torch.testing.assert_close(a, b)


def test_shares_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        Balancer({"mel": 0.0})
    with pytest.raises(ValueError, match="mell"):
        Balancer({"mell": 1.0})(output(), {}, None)
    with pytest.raises(ValueError, match="feature_matching"):
        Balancer({"mel": 1.0})(output(), {"feature_matching": torch.zeros(())}, None)
    with pytest.raises(ValueError, match="does not depend"):
        Balancer({"quantizer": 1.0})(output(), {}, None)


def test_a_codec_trains_against_discriminators(tmp_path):
    torch.manual_seed(0)
    codec = WaveformCodec(
        ResidualVQ(2, 16, 8), rate=1000, strides=(2, 5), width=4, dilations=(1,), max_length=40
    )
    adversary = Adversary(
        MultiDiscriminator([STFTDiscriminator(64, 4), STFTDiscriminator(32, 4)]),
        weighting=Balancer({"reconstruction": 0.1, "mel": 2.0, "adversarial": 4.0, "feature_matching": 4.0}),
        feature_matching=FeatureMatching(is_relative=True),
        start_step=1,
    )
    module = TokenizerModule(
        codec, comparisons={"mel": MultiScaleMel(1000, (16, 64), (3, 6))}, adversary=adversary
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    batches = [
        {"media": torch.rand(3, 200, generator=generator) - 0.5, "lengths": torch.tensor([200, 150, 11])}
        for _ in range(3)
    ]
    trainer = L.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        max_steps=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    after = module.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    for part in ("tokenizer.encoder", "tokenizer.decoder", "adversary.discriminator", "adversary.weighting"):
        assert any(name.startswith(part) for name in changed)
    assert all(value.isfinite().all() for value in after.values())
    assert {"train/gradient/mel", "train/gradient/adversarial", "train/mel", "train/usage/1"} <= set(
        trainer.callback_metrics
    )
