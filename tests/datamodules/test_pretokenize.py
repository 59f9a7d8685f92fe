from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.corpora.digits.captions import num_captions
from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.pretokenize import pretokenize_digits
from datamodules.store import TokenStore
from tokenizers_vq.contract import Tokenizer, TokenSpec
from tokenizers_vq.image_patches import ImagePatches


class GreyLevels(Tokenizer):
    """Mean grey of 8 x 8 patches, in 16 levels."""

    media = "image"
    spec = TokenSpec(16, 1, ("y", "x"), grid=(4, 4), stride=(8, 8))

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain
        self.calls = 0

    def encode(self, media: Any, lengths: Tensor | None = None) -> Tensor:
        self.calls += 1
        assert not self.training
        pooled = torch.nn.functional.avg_pool2d(media * self.gain, 8)[:, 0]
        return (pooled * 15.99).long().clamp(0, 15)[..., None]

    def decode(self, codes: Any) -> Any:
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        return {"gain": self.gain}


class Letters(GreyLevels):
    """One token a letter."""

    media = "text"
    spec = TokenSpec(256, 1, ("t",), max_length=60)

    def encode(self, media: Any, lengths: Tensor | None = None) -> Any:
        return [torch.tensor(list(text.encode()))[:, None] for text in media]


class Loudness(GreyLevels):
    """Mean and peak of 20 ms, in 8 levels each."""

    media = "audio"
    spec = TokenSpec(8, 2, ("t",), max_length=100)

    def encode(self, media: Any, lengths: Tensor | None = None) -> Any:
        frames = [waveform[: len(waveform) // 320 * 320].reshape(-1, 320).abs() for waveform in media]
        return [(torch.stack([f.mean(1), f.amax(1)], dim=1) * 8).long().clamp(0, 7) for f in frames]


def tokenizers(gain: float = 1.0) -> dict[str, GreyLevels]:
    return {"image": GreyLevels(gain).eval(), "text": Letters().train(), "speech": Loudness()}


def test_every_split_and_view(corpus: DigitsCorpus, tmp_path: Path) -> None:
    made = tokenizers()
    pretokenize_digits(corpus, made, tmp_path, num_views=3, num_speech_views=2, seed=1, batch_size=500)
    assert not made["image"].training and made["text"].training
    for split in ("train", "val", "test"):
        store = TokenStore.open(tmp_path / split)
        views = 3 if split == "train" else 1
        images, labels, _ = corpus.images(split)
        assert torch.equal(store.labels("image"), labels.repeat_interleave(views))
        plain = made["image"].eval().encode(images[:5])
        for index in range(5):
            assert torch.equal(store.codes("image", index * views), plain[index])
        clips = corpus.speech(split)
        spoken = 2 if split == "train" else 1
        assert torch.equal(store.labels("speech"), clips.labels.repeat_interleave(spoken))
        (plain_clip,) = made["speech"].encode(clips.waveforms[4:5])
        assert torch.equal(store.codes("speech", 4 * spoken), plain_clip)
        assert torch.equal(store.labels("text"), torch.arange(10).repeat_interleave(num_captions))
        assert bytes(store.codes("text", 3)[:, 0].tolist()).decode() == corpus.captions().texts[3]
    views = TokenStore.open(tmp_path / "train").gather("image", torch.arange(300))[0].reshape(100, 3, -1)
    assert (views[:, 0] != views[:, 1]).any(dim=1).float().mean() > 0.9
    assert (views[:, 1] != views[:, 2]).any(dim=1).float().mean() > 0.9


def test_batch_size_does_not_change_the_codes(corpus: DigitsCorpus, tmp_path: Path) -> None:
    only = {"image": GreyLevels()}
    for size in (64, 1000):
        pretokenize_digits(corpus, only, tmp_path / str(size), num_views=2, seed=1, batch_size=size)
    small, large = (TokenStore.open(tmp_path / str(size) / "train").items["image"] for size in (64, 1000))
    assert (small.codes == large.codes).all()


def test_a_finished_store_is_left_as_it_is(corpus: DigitsCorpus, tmp_path: Path) -> None:
    def run(gain: float = 1.0, seed: int = 0) -> int:
        image = GreyLevels(gain)
        pretokenize_digits(corpus, {"image": image}, tmp_path, num_views=1, seed=seed)
        return image.calls

    assert run() > 0
    assert run() == 0
    assert run(gain=0.5) > 0, "another tokenizer"
    assert run(gain=0.5, seed=1) > 0, "another seed"
    (tmp_path / "val" / "store.json").unlink()
    with pytest.raises(ValueError, match="store.json does not exist"):
        run(gain=0.5, seed=1)


def test_wrong_requests_are_named(corpus: DigitsCorpus, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_views=0"):
        pretokenize_digits(corpus, tokenizers(), tmp_path, num_views=0)
    foreign = GreyLevels()
    foreign.media = "motion"  # type: ignore[misc]
    with pytest.raises(ValueError, match="no media of kind 'motion'"):
        pretokenize_digits(corpus, {"motion": foreign}, tmp_path)


def test_continuous_inputs_are_stored_beside_the_codes_of_another_tokenizer(
    corpus: DigitsCorpus, tmp_path: Path
) -> None:
    patches = ImagePatches((32, 32), 8, (0.5,), (0.5,))
    made = {"image": GreyLevels()}

    def run(inputs: dict[str, Tokenizer]) -> int:
        before = made["image"].calls
        pretokenize_digits(corpus, made, tmp_path, num_views=2, batch_size=64, inputs=inputs)
        return made["image"].calls - before

    assert run({"image": patches}) > 0
    assert run({"image": patches}) == 0
    store, images = TokenStore.open(tmp_path / "val"), corpus.images("val").images
    index = torch.tensor([4, 0])
    assert torch.equal(store.gather_inputs("image", index), patches.inputs(images[index]))
    assert torch.equal(store.codes("image", 4), made["image"].eval().encode(images[4:5])[0])
    assert run({"image": ImagePatches((32, 32), 8, (0.4,), (0.5,))}) > 0, "other inputs"
    assert run({}) > 0, "no inputs"


def test_inputs_that_do_not_fit_are_refused(corpus: DigitsCorpus, tmp_path: Path) -> None:
    made: dict[str, Tokenizer] = {"image": GreyLevels()}
    with pytest.raises(ValueError, match="inputs of 'image' from Loudness, which reads audio"):
        pretokenize_digits(corpus, made, tmp_path, inputs={"image": Loudness()})
    with pytest.raises(ValueError, match="inputs of 'video' from GreyLevels"):
        pretokenize_digits(corpus, made, tmp_path, inputs={"video": GreyLevels()})
    with pytest.raises(ValueError, match="GreyLevels has no continuous inputs"):
        pretokenize_digits(corpus, made, tmp_path, num_views=1, inputs={"image": GreyLevels()})
    with pytest.raises(ValueError, match="continuous inputs of shape"):
        pretokenize_digits(
            corpus, made, tmp_path, num_views=1, inputs={"image": ImagePatches((32, 32), 16, (0.5,), (0.5,))}
        )
