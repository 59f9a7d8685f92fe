import logging

import pytest
import torch

from tokenizers_vq.health import UsageWatch, per_codebook


def test_names_have_their_codebook_and_revivals():
    named = per_codebook({"usage": torch.tensor(0.5), "dead": torch.tensor(3.0)})
    assert {name: float(value) for name, value in named.items()} == {
        "usage/0": 0.5,
        "dead/0": 3,
        "revived/0": 0,
    }
    levels = {f"{kind}/{i}": torch.tensor(float(i)) for kind in ("usage", "revived") for i in range(2)}
    assert per_codebook(levels) == levels


@pytest.mark.parametrize("name", ["usage", "usage/1"])
def test_low_usage_is_warned_of_once_with_advice(caplog, name):
    watch = UsageWatch(codebook_size=512)
    low, good = {"usage/0": torch.tensor(0.9), name: torch.tensor(0.1)}, {"usage/0": torch.tensor(0.9)}
    with caplog.at_level(logging.WARNING):
        for metrics in (low, low, good, low, low, {}):
            watch.look(metrics, 100)
        assert not caplog.records
        for _ in range(3):
            watch.look(low, 150)
    assert len(caplog.records) == 1
    assert "revive_below" in caplog.text
    assert "step 150" in caplog.text
