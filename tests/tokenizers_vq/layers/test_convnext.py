"""ConvNeXt blocks over sequences: against one written out, padding, causality."""

import pytest
import torch
from torch.nn.functional import gelu, layer_norm, pad

from tokenizers_vq.layers.convnext import ConvNeXtBlock, ConvNeXtStack


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_block_is_the_one_written_out(is_causal):
    torch.manual_seed(0)
    block = ConvNeXtBlock(6, kernel_size=3, expansion=2, is_causal=is_causal)
    x_BNC = torch.randn(2, 5, 6)
    padded = pad(x_BNC, (0, 0, 2, 0) if is_causal else (0, 0, 1, 1))
    kernel_CK = block.mix.weight[:, 0, 0]
    mixed = sum(padded[:, k : k + 5] * kernel_CK[:, k] for k in range(3)) + block.mix.bias
    branch = block.narrow(gelu(block.widen(layer_norm(mixed, (6,)))))
    torch.testing.assert_close(block(x_BNC, torch.ones(2, 5, 1)), x_BNC + block.factor * branch)


def test_what_is_padding_changes_nothing():
    torch.manual_seed(0)
    stack = ConvNeXtStack(6, depth=2, kernel_size=5, expansion=2, is_causal=False)
    x_BNC = torch.randn(1, 8, 6)
    weight = (torch.arange(8) < 5).float()[None, :, None]
    alone = stack(x_BNC[:, :5], torch.ones(1, 5, 1))
    torch.testing.assert_close(stack(x_BNC, weight)[:, :5], alone)
