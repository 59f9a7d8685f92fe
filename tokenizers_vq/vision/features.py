"""Feature maps of pretrained networks, for perceptual losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from tokenizers_vq.frozen import Frozen
from tokenizers_vq.vision.normalisation import Normalise
from tokenizers_vq.vision.weights import load_weights


class FeatureNetwork(nn.Module, ABC):
    """Images (B, C, H, W) in [0, 1], grey or RGB -> feature maps [(B, C', H', W')]."""

    @abstractmethod
    def forward(self, images: Tensor) -> list[Tensor]:
        """Feature maps, fine to coarse; gradients pass to the images."""


class TorchvisionFeatures(FeatureNetwork):
    """Features of a torchvision model.

    Args:
        weights: its file, e.g. vgg16-397923af.pth.
        model: torchvision's name.
        layers: names of the nodes; those of LPIPS on VGG-16 (ReLU 1_2, 2_2, 3_3, 4_3, 5_3) where not given.

    Raises:
        ValueError: a file that does not fit; names that the model lacks.
    """

    def __init__(
        self,
        weights: Path | str,
        model: str = "vgg16",
        layers: Sequence[str] = ("features.3", "features.8", "features.15", "features.22", "features.29"),
    ) -> None:
        super().__init__()
        if model not in torchvision.models.list_models():
            raise ValueError(f"model={model!r} is no torchvision model; see torchvision.models.list_models()")
        network = torchvision.models.get_model(model, weights=None).eval()
        load_weights(network, weights)
        self.normalise = Normalise()
        self.network = Frozen(create_feature_extractor(network, list(layers)))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Outputs of the layers."""
        return list(self.network(self.normalise(images)).values())


class TimmFeatures(FeatureNetwork):
    """Features of a timm model, normalised as its configuration says.

    Args:
        weights: its file.
        model: timm's name.
        layers: numbers of the intermediate maps; all where not given.

    Raises:
        ValueError: a name that timm does not know, a model without intermediate maps, a file that does not fit.
    """

    def __init__(
        self, weights: Path | str, model: str = "resnet50", layers: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        network = build_timm(model, weights)
        if not hasattr(network, "forward_intermediates"):
            raise ValueError(f"model={model!r} of timm gives no intermediate maps; take another")
        self.layers = None if layers is None else list(layers)
        configuration = network.pretrained_cfg
        self.normalise = Normalise(configuration["mean"], configuration["std"])
        self.network = Frozen(_Intermediates(network, self.layers))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Outputs of the layers."""
        return self.network(self.normalise(images))


class _Intermediates(nn.Module):
    def __init__(self, network: Any, layers: list[int] | None) -> None:
        super().__init__()
        self.network, self.layers = network, layers

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.network.forward_intermediates(
            images, indices=self.layers, intermediates_only=True, output_fmt="NCHW"
        )


def build_timm(
    model: str, weights: Path | str, image_size: tuple[int, int] | None = None, has_head: bool = False
) -> Any:
    """A timm model with the weights of a file, in eval mode.

    Args:
        model: timm's name.
        weights: its file.
        image_size: that it will see, where the model's weights depend on it; its own where None.
        has_head: with its last linear layer (CLIP's projection).

    Raises:
        ValueError: a name that timm does not know, a model that takes no image size, a file that does not fit.
    """
    if not timm.is_model(model):
        raise ValueError(f"model={model!r} is not known to timm {timm.__version__}; see timm.list_models()")
    settings: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
    if not has_head:
        settings |= {"num_classes": 0}
    try:
        network = timm.create_model(model, pretrained=False, **settings).eval()
    except TypeError as error:
        raise ValueError(
            f"model={model!r} is no vision transformer that takes an image size: {error}"
        ) from error
    load_weights(network, weights)
    return network
