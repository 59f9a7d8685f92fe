import io

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tokenizers_vq.previews import gif, show
from tokenizers_vq.trainable import Preview


@pytest.mark.parametrize("channels", [1, 3])
def test_gif_keeps_frames_and_time(channels):
    frames = torch.zeros(5, channels, 8, 12)
    for t in range(5):
        frames[t, :, :, t] = 1
    picture = Image.open(io.BytesIO(gif(frames, frames_per_second=10)))
    assert (picture.n_frames, picture.size, picture.info["duration"]) == (5, (12, 8), 100)
    picture.seek(3)
    assert picture.convert("L").getpixel((3, 0)) > 200
    assert picture.convert("L").getpixel((4, 0)) < 50


def test_everything_is_written(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    preview = Preview(
        pictures={"grid": torch.rand(3, 4, 4)},
        sounds={"clip": torch.zeros(100)},
        animations={"walk": torch.rand(2, 3, 8, 8)},
    )
    show(logger.experiment, preview, "val", 7)
    logger.experiment.flush()
    events = EventAccumulator(logger.log_dir).Reload()
    assert set(events.Tags()["images"]) == {"val/grid", "val/walk"}
    assert events.Tags()["audio"] == ["val/clip"]
    (walk,) = events.Images("val/walk")
    assert (walk.step, walk.encoded_image_string[:3]) == (7, b"GIF")
