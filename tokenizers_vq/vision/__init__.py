"""Image tokenizers: VQGAN, MAGVIT-v2, ViT (2-D and 1-D tokens), VQ-KD, discrete VAE; any quantizer is injected."""

from tokenizers_vq.vision.base import ImageAutoencoder, ImageTokenizer
from tokenizers_vq.vision.dvae import DVAE
from tokenizers_vq.vision.features import FeatureNetwork, TimmFeatures, TorchvisionFeatures
from tokenizers_vq.vision.magvit2 import MAGVIT2
from tokenizers_vq.vision.perceptual import PerceptualLoss
from tokenizers_vq.vision.pixel_loss import LogitLaplace, PixelLoss
from tokenizers_vq.vision.teachers import Teacher, TimmTeacher
from tokenizers_vq.vision.vit import ViTTokenizer
from tokenizers_vq.vision.vq_kd import VQKD
from tokenizers_vq.vision.vqgan import VQGAN

__all__ = [
    "DVAE",
    "MAGVIT2",
    "VQGAN",
    "VQKD",
    "FeatureNetwork",
    "ImageAutoencoder",
    "ImageTokenizer",
    "LogitLaplace",
    "PerceptualLoss",
    "PixelLoss",
    "Teacher",
    "TimmFeatures",
    "TimmTeacher",
    "TorchvisionFeatures",
    "ViTTokenizer",
]
