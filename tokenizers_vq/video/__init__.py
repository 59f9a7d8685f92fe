"""Video tokenizers, causal in time: an image is a video of one frame; any quantizer is injected."""

from tokenizers_vq.video.base import VideoTokenizer
from tokenizers_vq.video.causal_cnn import CausalVideoCNN
from tokenizers_vq.video.comparison import FrameComparison
from tokenizers_vq.video.cvivit import CViViT
from tokenizers_vq.video.inflation import inflate

__all__ = ["CViViT", "CausalVideoCNN", "FrameComparison", "VideoTokenizer", "inflate"]
