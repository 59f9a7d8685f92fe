"""One action in four modalities, all from one clip and window: motion, video, caption, spoken caption."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from datamodules.corpora.actions.camera import Camera, draw_cameras
from datamodules.corpora.actions.captions import CAPTIONS, caption_id, num_captions, pace_of, swap_sides
from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.render import render
from datamodules.corpora.actions.speech import SpokenCaption, SpokenCaptions
from datamodules.corpora.actions.takes import TAKES
from datamodules.corpora.actions.windows import Window
from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion


@dataclass(frozen=True)
class ActionSample:
    """A window in all modalities.

    Attributes:
        window: where it comes from.
        label: action and side, one of captions.LABELS.
        motion: its poses.
        camera: that the video was taken with.
        video: (T, 3, size, size) float32 in [0, 1].
        alpha: (T, 1, size, size) float32, share of each pixel that the body covers.
        caption: says the label, and the pace where it is slow or quick.
        speech: the same caption, synthetic; None where it was not asked for.
    """

    window: Window
    label: str
    motion: Motion
    camera: Camera
    video: Tensor
    alpha: Tensor
    caption: str
    speech: SpokenCaption | None


def label_of(window: Window) -> str:
    """Action and side of a window: a mirrored left turn is a right turn."""
    action, _ = TAKES[window.take]
    return swap_sides(action) if window.is_mirrored else action


def make_sample(
    corpus: ActionsCorpus,
    split: str,
    window: Window,
    key: Key,
    sample_id: int,
    size: int = 64,
    speech: SpokenCaptions | None = None,
) -> ActionSample:
    """A window in all modalities; camera, caption and voice are drawn.

    Args:
        corpus: has the poses.
        split: whose voices speak.
        window: of that split.
        key: seed and step.
        sample_id: decides the draws, together with the key.
        size: pixels of a side of the video.
        speech: spoken captions; None leaves speech out.

    Raises:
        ValueError: an unknown split, a window outside its take, a size below 1, or a package is not installed.
    """
    motion = corpus.motion(window)
    (camera,) = draw_cameras(key, torch.tensor([sample_id]))
    video, alpha = render(motion, camera, size)
    label = label_of(window)
    index = int(key.fold("caption").integers(num_captions, torch.tensor(sample_id)))
    caption = caption_id(label, pace_of(window.speed), index)
    spoken = None if speech is None else speech.clip(split, caption, key, sample_id)
    return ActionSample(window, label, motion, camera, video, alpha, CAPTIONS[caption], spoken)
