"""A tiny MaskedTransformer, untrained, in double precision so that batch composition cannot round differently."""

from __future__ import annotations

import torch

from maskmm.decoding import Guidance, IterativeDecoder, generate_tokens
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from tests.maskmm.decoding.stubs import MODALITIES, VOCABULARY, full_batch
from tokenizers_vq.contract import TokenBatch


def tiny_model() -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        width=32, depth=2, attention=AttentionConfig(num_heads=2), ffn=FeedForwardConfig(width=48)
    )
    model = MaskedTransformer(VOCABULARY, config).double().eval()
    for parameter in model.parameters():
        parameter.data.mul_(3.0)
    return model


def test_generates_legal_codes_that_do_not_depend_on_the_batch() -> None:
    model = tiny_model()
    batch = full_batch(8)
    batch = batch.keep_segments(batch.segments.modality == batch.names.index("text"))
    decoder = IterativeDecoder(4, guidance=Guidance(2.0))
    out = generate_tokens(model, batch, ["image", "audio"], decoder, seed=1).samples(MODALITIES)
    specs = {m.name: m.spec for m in MODALITIES}
    for index, (given, sample) in enumerate(zip(batch.samples(MODALITIES), out)):
        assert torch.equal(sample["text"][0], given["text"][0])
        for name in ("image", "audio"):
            specs[name].check_codes(sample[name][0], name)
        one = TokenBatch.from_samples([given], MODALITIES, batch.sample_id[index : index + 1])
        alone = generate_tokens(model, one, ["image", "audio"], decoder, seed=1).samples(MODALITIES)[0]
        assert all(torch.equal(alone[name][0], sample[name][0]) for name in ("image", "audio"))
    assert all(p.grad is None for p in model.parameters())
