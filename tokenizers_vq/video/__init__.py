"""Video tokenizers, causal in time: an image is a video of one frame; any quantizer is injected."""

from tokenizers_vq.video.base import VideoTokenizer
from tokenizers_vq.video.cvivit import CViViT

__all__ = ["CViViT", "VideoTokenizer"]
