"""int8 layers: near the float ones row by row, exact against the product of their parts, independent of the batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig
from maskmm.nn.int8 import Int8Linear, quantize
from maskmm.nn.projection import QueryValueBias
from maskmm.sequence import pack, take_samples
from tests.maskmm.decoding.stubs import VOCABULARY, full_batch


def relative_error(found: Tensor, wanted: Tensor) -> float:
    return float(((found - wanted).norm(dim=-1) / wanted.norm(dim=-1)).mean().detach())


def naive_product(linear: Int8Linear, x: Tensor) -> Tensor:
    """Both numbers rebuilt from their parts, multiplied in float64; the product of the fine parts left out."""
    scale = x.abs().amax(dim=-1, keepdim=True) / 127
    coarse = (x / scale).round()
    fine = ((x / scale - coarse) * 254).round().double() / 254
    weight = linear.coarse.double()
    out = (coarse + fine).double() @ weight.T
    if linear.fine is not None:
        out = out + coarse.double() @ (linear.fine.double() / 254).T
    out = out * scale.double() * linear.scale.double()
    return out if linear.bias is None else out + linear.bias.double()


@pytest.mark.parametrize("has_fine_weight", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("sizes", [(1, 64, 48), (7, 33, 65), (300, 768, 100)])
def test_a_layer_is_the_product_of_its_parts(
    sizes: tuple[int, int, int], has_bias: bool, has_fine_weight: bool
) -> None:
    torch.manual_seed(0)
    rows, width, out = sizes
    linear, x = nn.Linear(width, out, bias=has_bias), torch.randn(rows, width)
    layer = Int8Linear(linear, has_fine_weight)
    found = layer(x)
    torch.testing.assert_close(found.double(), naive_product(layer, x), atol=1e-4, rtol=1e-5)
    assert relative_error(found, linear(x)) < (2e-4 if has_fine_weight else 1.2e-2)
    assert torch.equal(layer(x[:1]), found[:1])
    assert torch.equal(layer(x.view(1, rows, width)), found[None])


def test_rows_of_zeros_outliers_and_biases_of_queries_and_values() -> None:
    torch.manual_seed(0)
    linear = QueryValueBias(64, 64, 64)
    with torch.no_grad():
        linear.q_bias.normal_()
        linear.v_bias.normal_()
    x = torch.randn(5, 64)
    x[0], x[1, 3] = 0.0, 1000.0
    layer = Int8Linear(linear, has_fine_weight=True)
    torch.testing.assert_close(layer(x)[0], linear.whole_bias())
    assert relative_error(layer(x)[1:], linear(x)[1:]) < 1e-3
    with pytest.raises(ValueError, match="run on CPUs, given a meta tensor"):
        layer(x.to("meta"))


def test_a_wide_model_errs_little_and_what_is_beside_a_sample_changes_nothing() -> None:
    torch.manual_seed(0)
    config = TransformerConfig(width=256, depth=6, attention=AttentionConfig(num_heads=4))
    model = MaskedTransformer(VOCABULARY, config).eval()
    sequence = pack(full_batch(4), VOCABULARY)
    wanted = model(sequence)
    quantize(model.blocks)
    assert not any(isinstance(module, nn.Linear) for module in model.blocks.modules())
    with torch.inference_mode():
        found = model(sequence)
        alone = model(take_samples(sequence, torch.tensor([2])))
    assert relative_error(found, wanted) < 0.02
    torch.testing.assert_close(found[sequence.sample == 2], alone, atol=2e-2, rtol=2e-2)
