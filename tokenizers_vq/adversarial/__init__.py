"""Adversarial training of tokenizers of any medium: discriminators, their losses, and how those are weighed."""

from tokenizers_vq.adversarial.adversary import Adversary
from tokenizers_vq.adversarial.balancer import Balancer
from tokenizers_vq.adversarial.discriminator import Discriminator, Judgement, MultiDiscriminator
from tokenizers_vq.adversarial.feature_matching import FeatureMatching
from tokenizers_vq.adversarial.gradient_penalty import GradientPenalty
from tokenizers_vq.adversarial.lecam import LeCam
from tokenizers_vq.adversarial.losses import AdversarialLoss, Hinge, LeastSquares, NonSaturating
from tokenizers_vq.adversarial.patch import PatchDiscriminator
from tokenizers_vq.adversarial.style import StyleDiscriminator
from tokenizers_vq.adversarial.video import FrameDiscriminator, VideoPatchDiscriminator
from tokenizers_vq.adversarial.weighting import AdaptiveWeight, FixedWeight, Weighting, pull_back

__all__ = [
    "AdaptiveWeight",
    "AdversarialLoss",
    "Adversary",
    "Balancer",
    "Discriminator",
    "FeatureMatching",
    "FixedWeight",
    "FrameDiscriminator",
    "GradientPenalty",
    "Hinge",
    "Judgement",
    "LeCam",
    "LeastSquares",
    "MultiDiscriminator",
    "NonSaturating",
    "PatchDiscriminator",
    "StyleDiscriminator",
    "VideoPatchDiscriminator",
    "Weighting",
    "pull_back",
]
