import pytest
import torch

pytest.importorskip("diffusers")

from tests.reference.naive_vqgan import NaiveVQGAN  # noqa: E402
from tokenizers_vq.contract import load_tokenizer  # noqa: E402
from tokenizers_vq.pretrained.vqgan_checkpoints import load_llamagen, load_taming  # noqa: E402

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LOADERS = {"taming": load_taming, "llamagen": load_llamagen}


@pytest.fixture(params=LOADERS)
def case(request, tmp_path):
    """Twin, its codes and pixels, loader, and a file as it is published."""
    twin = NaiveVQGAN(request.param)
    codes = twin.encode(IMAGES * 2 - 1)
    pixels = twin.decode(codes)
    extra = {"loss.discriminator.weight": torch.zeros(1)} if request.param == "taming" else {}
    weights = twin.weights | extra
    torch.save({"state_dict" if request.param == "taming" else "model": weights}, tmp_path / "vq.pt")
    return twin, codes, pixels, LOADERS[request.param], tmp_path / "vq.pt"


def test_codes_and_images_agree_with_the_naive_twin(case, tmp_path):
    _, codes, pixels, load, path = case
    tokenizer = load(path, 16)
    assert codes.unique().numel() > 1
    assert torch.equal(tokenizer.encode(IMAGES)[..., 0], codes)
    torch.testing.assert_close(
        tokenizer.decode(codes[..., None]), (pixels / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=1e-4
    )
    tokenizer.save(tmp_path / "folder")
    assert torch.equal(load_tokenizer(tmp_path / "folder").encode(IMAGES)[..., 0], codes)


def test_missing_and_foreign_weights_are_named(case):
    twin, _, _, load, path = case
    name = next(n for n in twin.weights if n.endswith("q.bias"))
    torch.save({n: value for n, value in twin.weights.items() if n != name}, path)
    with pytest.raises(ValueError, match=r"lacks \['.*to_q\.bias'\]"):
        load(path, 16)
    torch.save(twin.weights | {"quantize.proj.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="quantize.proj.weight"):
        load(path, 16)
    torch.save(twin.weights | {"post_quant_conv.bias": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"other shapes \['post_quant_conv.bias'\]"):
        load(path, 16)
    torch.save({"quant_conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="plain codebook"):
        load(path, 16)
    torch.save({"model": twin}, path)
    with pytest.raises(ValueError, match="more than tensors"):
        load(path, 16)
