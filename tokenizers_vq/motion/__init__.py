"""Tokenizers of motion, and the representation of poses that they work on."""

from tokenizers_vq.motion.representation import PoseFeatures
from tokenizers_vq.motion.rvq import MotionRVQ

__all__ = ["MotionRVQ", "PoseFeatures"]
