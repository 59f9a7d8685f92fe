"""Tokenizers of motion, and the representations of poses that they work on."""

from tokenizers_vq.motion.features import MotionFeatures
from tokenizers_vq.motion.humanml3d import HumanML3DFeatures
from tokenizers_vq.motion.representation import PoseFeatures
from tokenizers_vq.motion.rvq import MotionRVQ

__all__ = ["HumanML3DFeatures", "MotionFeatures", "MotionRVQ", "PoseFeatures"]
