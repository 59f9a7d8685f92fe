"""Lookup in few dimensions as DAC has it: agreement with transformers' DacResidualVectorQuantizer."""

import pytest
import torch

from tokenizers_vq.quantizers import GradientVQ, ProjectedQuantizer, ResidualQuantizer

dac = pytest.importorskip("transformers.models.dac.modeling_dac")


def pair():
    """Three levels, 16 latent channels, 4 looked-up ones, of the same weights."""
    torch.manual_seed(0)
    config = dac.DacConfig(codebook_size=32, codebook_dim=4, n_codebooks=3, quantizer_dropout=0.0)
    config.hidden_size = 16
    theirs = dac.DacResidualVectorQuantizer(config).train()
    levels = [
        ProjectedQuantizer(16, GradientVQ(32, 4, metric="cosine", init="normal", revive_below=0.0))
        for _ in range(3)
    ]
    for level, other in zip(levels, theirs.quantizers):
        for ours, conv in ((level.project_in, other.in_proj), (level.project_out, other.out_proj)):
            ours.load_state_dict({"weight": conv.weight[..., 0], "bias": conv.bias})
        level.quantizer.load_state_dict({"codebook_KD": other.codebook.weight}, strict=False)
    return ResidualQuantizer(levels).train(), theirs


def test_codes_latents_losses_and_gradients():
    ours, theirs = pair()
    x = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(1))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = ours(a)
    latents, codes, _, commitment, codebook = theirs(b.transpose(1, 2))
    assert torch.equal(out.codes, codes.transpose(1, 2))
    torch.testing.assert_close(out.latents, latents.transpose(1, 2))
    loss = (0.25 * commitment + codebook)[
        0
    ] / 3  # ours is the mean over levels, and DAC's weights are the defaults
    torch.testing.assert_close(out.loss, loss)
    (out.latents.square().sum() + out.loss).backward()
    (latents.square().sum() + loss).backward()
    torch.testing.assert_close(a.grad, b.grad)
    for level, other in zip(ours.levels, theirs.quantizers):
        torch.testing.assert_close(level.quantizer.codebook_KD.grad, other.codebook.weight.grad)
        torch.testing.assert_close(level.project_in.weight.grad, other.in_proj.weight.grad[..., 0])


def test_the_first_levels_decode_alone():
    ours, theirs = (module.eval() for module in pair())
    x = torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(1))
    codes = ours.encode(x)
    for count in (1, 2, 3):
        expected = theirs.from_codes(codes[..., :count].transpose(1, 2))[0]
        torch.testing.assert_close(ours.decode(codes[..., :count]), expected.transpose(1, 2))
