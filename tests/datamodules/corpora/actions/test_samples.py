import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.corpora.actions.camera import Camera, draw_cameras
from datamodules.corpora.actions.captions import (
    CAPTIONS,
    LABELS,
    PACES,
    caption,
    caption_id,
    num_captions,
    pace_of,
    parse_caption,
    swap_sides,
)
from datamodules.corpora.actions.corpus import ActionsCorpus
from datamodules.corpora.actions.export import action_samples, write_action_shards
from datamodules.corpora.actions.humanoid import HUMANOID
from datamodules.corpora.actions.render import render
from datamodules.corpora.actions.samples import label_of, make_sample
from datamodules.corpora.actions.speech import VOICES_PER_CAPTION, SpokenCaptions, speak
from datamodules.corpora.actions.takes import TAKES
from datamodules.corpora.actions.windows import Window
from datamodules.corpora.digits.voices import VARIANTS
from datamodules.corpora.splits import SPLITS
from datamodules.shards import read_shards
from tokenizers_vq.contract import Key
from tokenizers_vq.contract.motion import Motion

needs_motion = pytest.mark.skipif(
    importlib.util.find_spec("pybullet_data") is None, reason="pybullet has no wheel for this Python"
)


@pytest.fixture(scope="module")
def actions() -> ActionsCorpus:
    return ActionsCorpus(seed=0)


def test_captions_are_read_back() -> None:
    assert len(CAPTIONS) == len(set(CAPTIONS)) == 378 and len(LABELS) == 21
    assert {action for action, _ in TAKES.values()} <= set(LABELS)
    for label in LABELS:
        for pace in PACES:
            for i in range(num_captions):
                text = caption(label, pace, i)
                assert parse_caption(text) == (label, pace) and CAPTIONS[caption_id(label, pace, i)] == text
                assert caption(swap_sides(label), pace, i) == swap_sides(text)
    assert parse_caption("a person flies") is None
    assert [pace_of(speed) for speed in (0.8, 1.0, 1.2)] == ["slow", "plain", "quick"]
    with pytest.raises(ValueError, match="expected one of backflip"):
        caption("fly", "plain", 0)


def test_sides_are_swapped_as_words() -> None:
    assert swap_sides("turns left, bright and right") == "turns right, bright and left"
    assert swap_sides("turn_left") == "turn_right" and swap_sides("leftover") == "leftover"
    assert label_of(Window("kick", 0.0, 1.0, True)) == "kick_left"
    assert label_of(Window("run", 0.0, 1.0, True)) == "run"


def test_camera_projects_by_hand() -> None:
    front = Camera(0.0, 0.0, 4.0)  # at +x, looking along -x
    target = torch.tensor([0.0, 1.0, 0.0])
    points = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.5, 0.0], [0.0, 1.0, 0.5], [2.0, 1.0, 0.5]])
    pixels, scale = front.project(points, target, 100)
    assert torch.allclose(pixels[0], torch.tensor([50.0, 50.0]))
    assert pixels[1, 1] < 50 and pixels[1, 0] == pytest.approx(50)
    assert pixels[2, 0] < 50  # the body's right hand is on the left of a picture of its face
    assert scale[3] == pytest.approx(2 * float(scale[0]))
    place, below = Camera(0.3, 0.4, 4.0).ground(target, 64)
    pixels, _ = Camera(0.3, 0.4, 4.0).project(
        torch.tensor([float(place[50, 20, 0]), 0.0, float(place[50, 20, 1])]), target, 64
    )
    assert torch.allclose(pixels, torch.tensor([20.5, 50.5]), atol=1e-3) and below[50, 20] == 1.0


def test_cameras_are_hashed() -> None:
    cameras = draw_cameras(Key(0), torch.arange(200))
    assert draw_cameras(Key(0), torch.tensor([7])) == cameras[7:8]
    yaws = torch.tensor([camera.yaw for camera in cameras])
    assert yaws.min() < 0.2 and yaws.max() > 2 * math.pi - 0.2
    assert all(3.6 <= camera.distance <= 4.6 for camera in cameras)


def standing(rotations: torch.Tensor | None = None) -> Motion:
    if rotations is None:
        rotations = torch.zeros(2, 15, 4)
        rotations[..., 0] = 1.0
    return Motion(HUMANOID, 30.0, torch.tensor([[0.0, 0.9, 0.0]] * 2), rotations)


def test_render_shows_the_body() -> None:
    video, alpha = render(standing(), Camera(0.0, 0.1, 4.0), 64)
    assert video.shape == (2, 3, 64, 64) and alpha.shape == (2, 1, 64, 64)
    assert float(video.min()) >= 0.0 and float(video.max()) <= 1.0
    assert 0.02 < float((alpha > 0).float().mean()) < 0.3
    red, blue = video[0, 0] - video[0, 2] > 0.4, video[0, 2] - video[0, 0] > 0.4
    across = torch.arange(64)
    # The camera sees the face: its right (red) limbs are on the left of the picture.
    assert (
        float((red.sum(0) * across).sum() / red.sum()) < 31 < float((blue.sum(0) * across).sum() / blue.sum())
    )
    assert torch.equal(video[0], video[1])


def test_mirroring_mirrors_the_picture_and_its_colours() -> None:
    half = math.radians(70) / 2
    rotations = torch.zeros(2, 15, 4)
    rotations[..., 0] = 1.0
    rotations[:, HUMANOID.names.index("right_shoulder")] = torch.tensor(
        [math.cos(half), 0, 0, math.sin(half)]
    )
    motion, camera = standing(rotations), Camera(0.0, 0.1, 4.0)
    _, plain = render(motion, camera, 48)
    _, mirrored = render(motion.mirrored(), camera, 48)
    assert torch.allclose(plain.flip(-1), mirrored, atol=1e-3) and not torch.allclose(
        plain, mirrored, atol=0.1
    )


def test_spoken_captions_by_split() -> None:
    spoken = SpokenCaptions(0)
    timbres = [set(spoken.timbres[split]) for split in SPLITS]
    assert sum(map(len, timbres)) == len(set.union(*timbres)) == 32
    for split, mine in zip(SPLITS, timbres):
        variants = spoken.variants(split)
        assert len(variants) == len(CAPTIONS) * VOICES_PER_CAPTION[split]
        assert {variant.timbre for variant in variants} == mine
    first, second = speak(CAPTIONS[:2], VARIANTS[:2]), speak(CAPTIONS[:2], VARIANTS[:2])
    assert np.array_equal(first.samples, second.samples) and len(first) == 2
    assert np.abs(first[0]).max() == pytest.approx(0.9, abs=1e-6) and len(first[0]) > 8000


@needs_motion
def test_sample_agrees_in_all_modalities(actions: ActionsCorpus) -> None:
    window = actions.windows("val")[1]
    sample = make_sample(actions, "val", window, Key(0), 5, size=32)
    assert sample.video.shape == (17, 3, 32, 32) and sample.speech is None
    assert parse_caption(sample.caption) == (sample.label, "plain")
    assert torch.equal(sample.motion.root, actions.motion(window).root)
    again = make_sample(actions, "val", window, Key(0), 5, size=32)
    assert torch.equal(again.video, sample.video) and again.caption == sample.caption
    other = make_sample(actions, "val", window, Key(0), 6, size=32)
    assert other.camera != sample.camera


@needs_motion
def test_corpus_to_shards_and_back(
    actions: ActionsCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = CAPTIONS[:3]
    monkeypatch.setattr("datamodules.corpora.actions.speech.CAPTIONS", few)
    monkeypatch.setattr(
        "datamodules.corpora.actions.samples.caption_id", lambda label, pace, index: index % 3
    )
    spoken = SpokenCaptions(0, tmp_path / "cache")
    paths = write_action_shards(actions, tmp_path / "test", "test", 4, 1, 32, spoken, samples_per_shard=3)
    assert len(paths) == 2 and len(list((tmp_path / "cache").iterdir())) == 1
    rates = {"motion": 30, "video": 30, "audio": 16_000}
    read, made = list(read_shards(paths, rates)), list(action_samples(actions, "test", 4, 1, 32, spoken))
    assert len(read) == len(made) == 4
    for one, other in zip(read, made):
        assert one.metadata == other.metadata and one.media["text"] == other.media["text"]
        assert torch.equal(one.media["motion"][1].rotations, other.media["motion"][1].rotations)
        assert one.media["motion"][1].skeleton == HUMANOID
        assert (one.media["video"][1] - other.media["video"][1]).abs().max() < 1 / 255
        assert torch.allclose(one.media["speech"][1], other.media["speech"][1], atol=1e-4)
    with pytest.raises(ValueError, match="has 30 poses a second, expected 20"):
        next(read_shards(paths, rates | {"motion": 20}))
    with pytest.raises(ValueError, match="no rate for media of kind 'video'"):
        next(read_shards(paths, {"motion": 30}))
