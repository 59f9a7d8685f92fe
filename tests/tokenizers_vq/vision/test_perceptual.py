import logging

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from tokenizers_vq.quantizers import VectorQuantizer
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.vision import VQGAN, PerceptualLoss, TimmFeatures, TorchvisionFeatures
from tokenizers_vq.vision.weights import load_weights

SMALL = "squeezenet1_1"
LAYERS = ["features.1", "features.4"]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("features") / "net.pth"
    torch.save(torchvision.models.get_model(SMALL, weights=None).state_dict(), path)
    return TorchvisionFeatures(path, SMALL, LAYERS)


def images(channels=3, seed=0):
    return torch.rand(2, channels, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_nothing_for_equal_images_and_grows_with_noise(features, channels):
    loss = PerceptualLoss(features, weight=0.5)
    x = images(channels)
    noise = images(channels, seed=1)
    values = [float(loss(x + level * noise, x)) for level in (0.0, 0.1, 0.4)]
    assert values[0] == 0 < values[1] < values[2]


def test_the_gradient_reaches_the_images_alone(features):
    x = images(seed=2).requires_grad_()
    PerceptualLoss(features)(x, images()).backward()
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None for p in features.parameters())


def test_it_is_off_with_a_reason(caplog):
    with caplog.at_level(logging.WARNING):
        loss = PerceptualLoss()
    assert "perceptual loss is off" in caplog.text
    assert "weights" in caplog.text
    assert float(loss(images(), images(seed=1))) == 0


def test_features_of_timm(tmp_path):
    torch.manual_seed(0)
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "net.safetensors")
    features = TimmFeatures(tmp_path / "net.safetensors", "resnet10t", layers=[1, 2])
    assert [tuple(f.shape[2:]) for f in features(images())] == [(8, 8), (4, 4)]
    assert float(PerceptualLoss(features)(images(seed=1), images())) > 0


def test_no_checkpoint_holds_its_weights(features):
    tokenizer = VQGAN(VectorQuantizer(8, 4), 32, width=8, multipliers=(1, 2))
    module = TokenizerModule(tokenizer, comparisons={"perceptual": PerceptualLoss(features)})
    assert {name.split(".")[0] for name in module.state_dict()} == {"tokenizer"}
    out = module._forward({"media": images().add(1).div(2)})
    assert float(out.parts["perceptual"].detach()) > 0
    module.load_state_dict(module.state_dict(), strict=True)


def test_wrong_files_and_names(tmp_path):
    with pytest.raises(ValueError, match="no torchvision model"):
        TorchvisionFeatures(tmp_path / "x.pth", "vgg99")
    with pytest.raises(ValueError, match="does not exist"):
        TorchvisionFeatures(tmp_path / "x.pth", SMALL, LAYERS)
    (tmp_path / "x.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="truncated"):
        TorchvisionFeatures(tmp_path / "x.pth", SMALL, LAYERS)
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="no weights by name"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "list.pth")
    torch.save({"weight": torch.zeros(2, 2), "bias": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="1 have other shapes"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / "other.pth")
