"""Video tokenizers that start from a trained image tokenizer, see `tokenizers_vq.layers.inflation`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers_vq.contract import Tokenizer
from tokenizers_vq.contract.described import arguments_of, rebuild
from tokenizers_vq.layers.inflation import inflated_weights
from tokenizers_vq.video.causal_cnn import CausalVideoCNN
from tokenizers_vq.vision.vqgan import VQGAN

_TIMELESS = (
    "quantizer",
    "image_size",
    "channels",
    "width",
    "multipliers",
    "num_blocks",
    "stem_stride",
    "has_attention",
    "loss",
)


def inflate(
    tokenizer: Tokenizer,
    time_strides: Sequence[int],
    kernel_time: int = 3,
    max_length: int = 16,
    rate: float = 25.0,
) -> CausalVideoCNN:
    """A video tokenizer that does to each frame what the image tokenizer does; training adds the use of time.

    At the start a token of any video is the image tokenizer's code of the last frame that the token stands for, and all
    those frames are the code's image. So a one-frame video has the image's codes and reconstruction, and a video that
    stands still has them in every frame.

    Args:
        tokenizer: a VQGAN, trained on frames or other images; it stays as it is.
        time_strides, kernel_time, max_length, rate: see CausalVideoCNN.

    Raises:
        ValueError: no VQGAN, arguments that CausalVideoCNN refuses.
    """
    if not isinstance(tokenizer, VQGAN):
        raise ValueError(
            f"a {type(tokenizer).__name__} cannot be inflated, expected a VQGAN: its layers are those of CausalVideoCNN"
        )
    described = arguments_of(tokenizer)
    kept = rebuild({name: described[name] for name in _TIMELESS})
    video = CausalVideoCNN(
        **kept, time_strides=time_strides, kernel_time=kernel_time, max_length=max_length, rate=rate
    )
    video.load_state_dict(inflated_weights(tokenizer.state_dict(), video.state_dict()))
    return video.to(tokenizer.last_layer().device).train(tokenizer.training)
