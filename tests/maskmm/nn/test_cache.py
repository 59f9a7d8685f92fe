"""Decoding in groups with cached keys and values equals one block-causal pass over everything."""

from __future__ import annotations

import pytest
import torch

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.attention import attend
from maskmm.nn.cache import KeyValueCache
from maskmm.nn.config import AttentionConfig, PositionConfig
from maskmm.nn.structure import block_causal
from maskmm.sequence import pack
from maskmm.vocabulary import Vocabulary
from tests.contracts.toy_model import random_batch
from tests.maskmm.nn.backends.cases import offsets
from tokenizers_vq.contract import Modality, TokenSpec

IMAGE = Modality("image", TokenSpec(16, 1, ("y", "x"), (4, 4), stride=(8, 8)))


def transformer(**attention: int) -> MaskedTransformer:
    torch.manual_seed(0)
    config = TransformerConfig(width=16, depth=3, attention=AttentionConfig(num_heads=4, **attention))
    return MaskedTransformer(Vocabulary([IMAGE]), config).eval()


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_steps_equal_one_pass(kv_heads: int) -> None:
    """M2T: groups of unequal sizes, spread over the grid; samples may have no row in a group."""
    model = transformer(num_kv_heads=kv_heads)
    sequence = pack(random_batch([IMAGE], 3, 0), model.vocabulary, has_cls=False)
    group = torch.randint(0, 4, (48,), generator=torch.Generator().manual_seed(1))
    group[16:32] += group[16:32] == 2
    cache = KeyValueCache()
    with torch.inference_mode():
        full = model(sequence, model.layout(sequence, block_causal(group)))
        for step in range(4):
            rows = (group == step).nonzero().flatten()
            part = sequence.select_rows(rows)
            features = model(part, cache.step(part.cu_seqlens))
            torch.testing.assert_close(features, full[rows], atol=1e-5, rtol=1e-4)
    assert cache.offsets is not None and cache.offsets.tolist() == [0, 16, 32, 48]


def test_windows_count_in_the_order_of_arrival() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(9, 2, 4, generator=generator) for _ in range(3))
    cache, outputs = KeyValueCache(), []
    for start in range(0, 9, 3):
        rows = slice(start, start + 3)
        outputs.append(attend(q[rows], k[rows], v[rows], cache.step(offsets([3]), window=1)))
    causal = block_causal(torch.arange(9) // 3)
    scores = torch.einsum("qhk,mhk->hqm", q, k) * 4**-0.5
    row = torch.arange(9)
    is_allowed = causal(row[:, None], row[None]) & ((row[:, None] - row).abs() <= 1)
    expected = torch.einsum("hqm,mhk->qhk", scores.masked_fill(~is_allowed, -torch.inf).softmax(-1), v)
    torch.testing.assert_close(torch.cat(outputs), expected)


def test_bad_steps() -> None:
    cache, model = KeyValueCache(), transformer()
    sequence = pack(random_batch([IMAGE], 2, 0), model.vocabulary, has_cls=False)
    with torch.inference_mode():
        model(sequence, cache.step(sequence.cu_seqlens))
        with pytest.raises(ValueError, match="1 samples in this step, 2 in the cache"):
            cache.step(offsets([3]))
        model.forward_intermediates(sequence, [1], cache.step(sequence.cu_seqlens))
        with pytest.raises(ValueError, match="stopped before the last layer"):
            cache.step(sequence.cu_seqlens)


def test_a_step_of_more_layers_than_the_first() -> None:
    """The rows that its last layers have not seen would be other rows of the cache."""
    cache, rows = KeyValueCache(), torch.randn(3, 2, 4)
    attend(rows, rows, rows, cache.step(offsets([3])))
    layout = cache.step(offsets([3]))
    attend(rows, rows, rows, layout)
    with pytest.raises(ValueError, match="layer 2 of a step, but the steps before had 1"):
        attend(rows, rows, rows, layout)


def test_a_convolution_has_no_neighbours_of_other_steps() -> None:
    torch.manual_seed(0)
    positions = PositionConfig("sample", rotary=None, learned=None, conv_kernel=4)
    config = TransformerConfig(width=16, depth=1, attention=AttentionConfig(num_heads=4), positions=positions)
    model = MaskedTransformer(Vocabulary([IMAGE]), config)
    sequence = pack(random_batch([IMAGE], 2, 0), model.vocabulary, has_cls=False)
    with pytest.raises(ValueError, match="convolutional positions of kernel 4 with a key/value cache"):
        model(sequence, KeyValueCache().step(sequence.cu_seqlens))


def test_a_bias_has_no_positions_of_cached_rows() -> None:
    q = torch.randn(3, 2, 4)
    with pytest.raises(ValueError, match="bias with a key/value cache"):
        attend(q, q, q, KeyValueCache().step(offsets([3])), bias=lambda rows_q, rows_k: torch.zeros(1))
