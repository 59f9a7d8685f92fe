"""Entropies over 2^18 codes without a row over all codes for each position."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tokenizers_vq.quantizers import LFQ, BitEntropy

ROWS = 512


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor that any operation has made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return out


@pytest.mark.parametrize("num_codebooks", [1, 2])
@pytest.mark.parametrize("group_bits", [None, 9])
def test_no_tensor_is_larger_than_the_codebook_or_half_codes_of_the_rows(num_codebooks, group_bits):
    quantizer = LFQ(18, num_codebooks, entropy=BitEntropy(group_bits=group_bits)).train()
    x = torch.randn(ROWS, 18, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with LargestTensor() as largest:
        quantizer(x).loss.backward()
    assert x.grad.isfinite().all() and (x.grad != 0).any()
    assert 2**9 < largest.elements <= max(2**18, ROWS * 2**9)  # rows x codes would be 2^27
