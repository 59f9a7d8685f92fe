from __future__ import annotations

import pytest
import torch

from maskmm.nn.config import NormKind
from maskmm.nn.query_key_norm import QueryKeyNorm


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norms_of_queries_and_keys_round_nothing(kind: NormKind) -> None:
    norm = QueryKeyNorm(16, 1e-5, kind)
    torch.manual_seed(0)
    rows_NJK = torch.randn(7, 6, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(rows_NJK, num_heads=4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, norm(rows_NJK.float(), num_heads=4), rtol=1e-6, atol=1e-6)
    assert norm.bfloat16()(rows_NJK, num_heads=4).dtype == torch.bfloat16
