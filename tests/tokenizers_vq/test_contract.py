"""What every tokenizer does; a new one joins by an entry in EXAMPLES, and the first test fails until it has one."""

import importlib
import inspect
import json
import pkgutil
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as Pieces
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

import tokenizers_vq
from tests.tokenizers_vq.example_media import (
    BAD_CLIPS,
    BAD_CODEC_CLIPS,
    BAD_IMAGES,
    BAD_MOTIONS,
    BAD_ROWS,
    BAD_TEXTS,
    BAD_VECTORS,
    BAD_VIDEOS,
    SKELETON,
    TEXTS,
    clips,
    images,
    long_clips,
    motions,
    rows,
    videos,
)
from tokenizers_vq.audio.acoustic import RandomAcoustic
from tokenizers_vq.audio.codec import WaveformCodec
from tokenizers_vq.audio.distilled import AcousticTeacher, DistilledAcoustic
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.audio.mel import MelVQ
from tokenizers_vq.byte_text import ByteText
from tokenizers_vq.contract import Tokenizer, load_tokenizer
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.image_patches import ImagePatches
from tokenizers_vq.motion import HumanML3DFeatures, MotionRVQ, PoseFeatures
from tokenizers_vq.pretrained import PretrainedDac, PretrainedEncodec, PretrainedMimi, PretrainedVQModel
from tokenizers_vq.pretrained_text import PretrainedText
from tokenizers_vq.quantizers import (
    FSQ,
    LFQ,
    CosineVQ,
    GumbelQuantizer,
    ProjectedQuantizer,
    ResidualVQ,
    VectorQuantizer,
)
from tokenizers_vq.text import UNKNOWN, WordPieceText
from tokenizers_vq.trainable import TokenizerOutput, TrainableTokenizer
from tokenizers_vq.vectors import FrozenVectors
from tokenizers_vq.video import CausalVideoCNN, CViViT
from tokenizers_vq.vision import DVAE, MAGVIT2, VQGAN, VQKD, Teacher, ViTTokenizer
from tokenizers_vq.visual_bpe import VisualBPE
from tokenizers_vq.with_inputs import TokenizerWithInputs


def pretrained_text() -> PretrainedText:
    pieces = [UNKNOWN, *WordPieceText.from_texts(TEXTS, 60).vocabulary[1:]]
    public = Pieces(models.WordPiece({piece: code for code, piece in enumerate(pieces)}, unk_token=UNKNOWN))
    public.pre_tokenizer, public.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return PretrainedText(public.to_str(), 70, 12, {"[CLS]": 68, "[MASK]": 69})


@dataclass(frozen=True)
class Example:
    tokenizer: Any
    media: Any
    wrong: list[Any]


def small_image(**changes: Any) -> ImageVQ:
    return ImageVQ(**({"image_size": 16, "width": 8, "codebook_size": 16, "code_dim": 4} | changes))


def small_vqgan(**changes: Any) -> VQGAN:
    settings = {"quantizer": VectorQuantizer(16, 4), "image_size": 16, "channels": 1, "width": 8}
    return VQGAN(**(settings | {"multipliers": (1, 2, 2), "num_blocks": 1} | changes))


def small_magvit2() -> MAGVIT2:
    return MAGVIT2(LFQ(4, num_codebooks=2), 16, channels=1, widths=(8, 16), num_blocks=1, num_groups=4)


def small_vit(**changes: Any) -> ViTTokenizer:
    settings = {"quantizer": FSQ((8, 5)), "image_size": 16, "channels": 1, "patch_size": 4, "width": 16}
    return ViTTokenizer(**(settings | {"depth": 1, "num_heads": 2} | changes))


class Means(Teacher):
    """Teaches the mean of each 4 x 4 patch, and its negative."""

    def forward(self, images: Tensor) -> Tensor:
        means = torch.nn.functional.avg_pool2d(images, 4)
        return torch.cat([means, -means], dim=1).permute(0, 2, 3, 1)


def small_vq_kd() -> VQKD:
    sizes = {"image_size": 16, "patch_size": 4, "width": 16, "depth": 1, "decoder_depth": 1, "num_heads": 2}
    return VQKD(CosineVQ(16, 4), Means(), teacher_dim=2, channels=1, **sizes)


def small_dvae() -> DVAE:
    return DVAE(GumbelQuantizer(16, 8), 16, channels=1, width=8, num_groups=3, num_blocks=1)


def small_mel(**changes: Any) -> MelVQ:
    return MelVQ(
        **(
            {"max_length": 10, "width": 16, "codebook_size": 16, "code_dim": 4, "griffin_lim_steps": 2}
            | changes
        )
    )


def small_codec(**changes: Any) -> WaveformCodec:
    sizes = {"strides": (4, 4, 5, 8), "width": 4, "dilations": (1,), "max_length": 10}
    # Few tokens: k-means would make codes that are equal, and which of them is nearest is rounding.
    return WaveformCodec(ResidualVQ(2, 16, 4, init="normal"), **(sizes | changes))


class Loudness(AcousticTeacher):
    """Teaches the mean of each patch, and its negative."""

    def forward(self, clips: Any) -> list[Tensor]:
        front = FbankPatches(max_seconds=0.4)
        grids = [front.inputs([clip]).mean(dim=1).view(-1, 8, 1) for clip in clips]
        return [torch.cat([grid, -grid], dim=-1) for grid in grids]


def small_distilled() -> DistilledAcoustic:
    sizes = {"width": 16, "depth": 1, "estimator_depth": 1, "num_heads": 2, "position_groups": 2}
    front = FbankPatches(max_seconds=0.4)
    return DistilledAcoustic(CosineVQ(16, 4), Loudness(), 2, front, position_kernel=6, **sizes)


def small_video_cnn(**changes: Any) -> CausalVideoCNN:
    settings = {"quantizer": ProjectedQuantizer(4, FSQ((5, 5))), "image_size": 16, "channels": 1, "width": 8}
    sizes = {
        "multipliers": (1, 2),
        "num_blocks": 1,
        "stem_stride": 2,
        "time_strides": (1, 2),
        "max_length": 5,
    }
    return CausalVideoCNN(**(settings | sizes | changes))


def small_cvivit(**changes: Any) -> CViViT:
    settings = {
        "quantizer": FSQ((8, 5)),
        "image_size": 16,
        "channels": 1,
        "max_length": 5,
        "temporal_stride": 2,
    }
    return CViViT(**(settings | {"width": 16, "space_depth": 1, "time_depth": 1, "num_heads": 2} | changes))


def visual_bpe() -> VisualBPE:
    base = small_image(num_codebooks=2).eval()
    return VisualBPE.learn(base, base.encode(images()), 8, min_count=1)


def image_with_patches() -> TokenizerWithInputs:
    return TokenizerWithInputs(small_image(), ImagePatches((16, 16), 4, mean=(0.5,), std=(0.5,)))


def small_motion(**changes: Any) -> MotionRVQ:
    sizes = {
        "max_length": 8,
        "width": 16,
        "num_blocks": 1,
        "codebook_size": 16,
        "code_dim": 4,
        "num_codebooks": 2,
    }
    return MotionRVQ(**({"features": PoseFeatures(SKELETON, 30.0, ("foot",))} | sizes | changes))


def public(name: str, **changes: Any) -> Tokenizer:
    """A tiny model of another package."""
    for package in ("transformers", "diffusers"):
        pytest.importorskip(package)
    return getattr(importlib.import_module("tests.tokenizers_vq.pretrained.tiny"), name)(**changes)


EXAMPLES = {
    ImageVQ: [
        Example(small_image, images(), BAD_IMAGES),
        Example(lambda: small_image(downsample=8, num_codebooks=2), images(), BAD_IMAGES),
        Example(lambda: small_image(channels=3), images(channels=3), BAD_IMAGES[:1]),
    ],
    VQGAN: [
        Example(small_vqgan, images(), BAD_IMAGES),
        Example(lambda: small_vqgan(stem_stride=2, has_attention=True, train_sizes=(16, 24)), images(), []),
        Example(lambda: small_vqgan(quantizer=ProjectedQuantizer(6, FSQ((5, 5)))), images(), []),
    ],
    MAGVIT2: [Example(small_magvit2, images(), BAD_IMAGES)],
    ViTTokenizer: [
        Example(small_vit, images(), BAD_IMAGES),
        Example(lambda: small_vit(num_latents=5, decoder_depth=2), images(), BAD_IMAGES),
    ],
    VQKD: [Example(small_vq_kd, images(), BAD_IMAGES)],
    DVAE: [Example(small_dvae, images(), BAD_IMAGES)],
    MelVQ: [Example(small_mel, clips(), BAD_CLIPS)],
    WaveformCodec: [
        Example(small_codec, clips(), BAD_CLIPS),
        Example(lambda: small_codec(is_causal=True, activation="elu", num_recurrent=1), clips(), []),
    ],
    MotionRVQ: [
        Example(small_motion, motions(), BAD_MOTIONS),
        Example(lambda: small_motion(shares_codebook=True, quantizer_dropout=0.5), motions(), []),
        Example(lambda: small_motion(features=HumanML3DFeatures()), rows(), BAD_ROWS),
    ],
    CausalVideoCNN: [
        Example(small_video_cnn, videos(), BAD_VIDEOS),
        Example(lambda: small_video_cnn(quantizer=ResidualVQ(2, 16, 4), has_attention=True), videos(), []),
    ],
    CViViT: [
        Example(small_cvivit, videos(), BAD_VIDEOS),
        Example(lambda: small_cvivit(quantizer=ProjectedQuantizer(8, CosineVQ(16, 4))), videos(), []),
    ],
    FrozenVectors: [
        Example(lambda: FrozenVectors(3), torch.ones(4, 3), BAD_VECTORS),
        Example(lambda: FrozenVectors(3, max_length=2), [torch.ones(2, 3), torch.ones(1, 3)], BAD_VECTORS),
    ],
    ImagePatches: [
        Example(lambda: ImagePatches((16, 16), 4, mean=(0.5,), std=(0.5,)), images(), BAD_IMAGES),
    ],
    FbankPatches: [Example(lambda: FbankPatches(max_seconds=0.4), long_clips(), BAD_CLIPS)],
    RandomAcoustic: [
        Example(lambda: RandomAcoustic(FbankPatches(max_seconds=0.4), 64, 8), long_clips(), BAD_CLIPS)
    ],
    DistilledAcoustic: [Example(small_distilled, long_clips(), BAD_CLIPS)],
    VisualBPE: [Example(visual_bpe, images(), BAD_IMAGES)],
    TokenizerWithInputs: [Example(image_with_patches, images(), BAD_IMAGES)],
    ByteText: [Example(lambda: ByteText(30), TEXTS, BAD_TEXTS[:2] + BAD_TEXTS[3:])],
    PretrainedEncodec: [Example(lambda: public("encodec"), clips(), BAD_CODEC_CLIPS)],
    PretrainedDac: [Example(lambda: public("dac", num_codebooks=2), clips(), BAD_CODEC_CLIPS)],
    PretrainedMimi: [Example(lambda: public("mimi", max_length=400), clips(), BAD_CODEC_CLIPS)],
    PretrainedVQModel: [Example(lambda: public("vq_model"), images(), BAD_IMAGES)],
    PretrainedText: [Example(pretrained_text, TEXTS, BAD_TEXTS)],
    WordPieceText: [Example(lambda: WordPieceText.from_texts(TEXTS, 60, max_length=12), TEXTS, BAD_TEXTS)],
}
CASES = [pytest.param(e, id=f"{c.__name__}-{i}") for c, es in EXAMPLES.items() for i, e in enumerate(es)]
TRAINABLE = [
    pytest.param(e, id=c.__name__)
    for c, es in EXAMPLES.items()
    if issubclass(c, TrainableTokenizer)
    for e in es
]


def trained(example: Example) -> Tokenizer:
    """Two steps, so that codebooks, running statistics and weights differ from their start."""
    torch.manual_seed(0)
    tokenizer = example.tokenizer()
    if isinstance(tokenizer, TrainableTokenizer):
        optimizer = torch.optim.SGD(tokenizer.parameters(), lr=0.01)
        for _ in range(2):
            tokenizer.train()(example.media).loss.backward()
            optimizer.step()
    return tokenizer.eval()


def is_same(a: Any, b: Any) -> bool:
    if isinstance(a, str):
        return a == b
    return torch.equal(a.poses, b.poses) if isinstance(a, Motion) else torch.equal(a, b)


def as_list(codes: Any) -> list[Tensor]:
    return list(codes)


def test_every_tokenizer_has_an_example():
    found = set()
    for info in pkgutil.walk_packages(tokenizers_vq.__path__, "tokenizers_vq."):
        members = inspect.getmembers(importlib.import_module(info.name), inspect.isclass)
        found |= {c for _, c in members if issubclass(c, Tokenizer) and not inspect.isabstract(c)}
    assert found == set(EXAMPLES)


@pytest.mark.parametrize("example", CASES)
def test_codes_fit_the_spec_and_decode(example):
    tokenizer = trained(example)
    codes = tokenizer.encode(example.media)
    assert len(as_list(codes)) == len(example.media)
    assert isinstance(codes, Tensor) == tokenizer.spec.is_fixed
    for sample in as_list(codes):
        tokenizer.spec.check_codes(sample, "example")
        assert sample.dtype == torch.int64
    if not tokenizer.has_decoder:
        with pytest.raises(ValueError, match="expected"):
            tokenizer.decode(codes)
        return
    media = tokenizer.decode(codes)
    assert len(media) == len(example.media)
    assert all(type(a) is type(b) for a, b in zip(media, example.media))
    again = tokenizer.decode(as_list(codes))
    assert all(is_same(a, b) for a, b in zip(media, again))


@pytest.mark.parametrize("example", CASES)
def test_encode_and_decode_keep_nothing_for_gradients(example):
    tokenizer, kept = trained(example), []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda packed: packed):
        codes = tokenizer.encode(example.media)
        if tokenizer.has_decoder:
            tokenizer.decode(codes)
    assert not kept


@pytest.mark.parametrize("example", CASES)
def test_batches_of_one_give_the_same_codes(example):
    tokenizer = trained(example)
    together = as_list(tokenizer.encode(example.media))
    for index, codes in enumerate(together):
        assert torch.equal(as_list(tokenizer.encode(example.media[index : index + 1]))[0], codes)


@pytest.mark.parametrize("example", CASES)
def test_a_saved_folder_gives_the_same_tokenizer(example, tmp_path):
    tokenizer = trained(example)
    tokenizer.save(tmp_path / "folder")
    loaded = load_tokenizer(tmp_path / "folder")
    assert type(loaded) is type(tokenizer)
    assert loaded.spec == tokenizer.spec
    assert loaded.config() == tokenizer.config()
    assert loaded.fingerprint() == tokenizer.fingerprint()
    assert not loaded.training
    for a, b in zip(as_list(loaded.encode(example.media)), as_list(tokenizer.encode(example.media))):
        assert torch.equal(a, b)
    assert json.loads((tmp_path / "folder" / "config.json").read_text())["init_args"] == tokenizer.config()


@pytest.mark.parametrize("example", CASES)
def test_damaged_weights_or_those_of_another_are_refused(example, tmp_path):
    example.tokenizer().save(tmp_path)
    path = tmp_path / "model.safetensors"
    if path.exists():  # else there is nothing that was learned, or it is in a file of the subclass's own
        whole = path.read_bytes()
        for content in (b"", b"no tensors at all", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match="truncated"):
                load_tokenizer(tmp_path)
        save_file({"foreign": torch.zeros(1)}, path)
        with pytest.raises(ValueError, match="weights of another tokenizer"):
            load_tokenizer(tmp_path)


@pytest.mark.parametrize("example", CASES)
def test_bad_media_are_refused(example):
    tokenizer = trained(example)
    for wrong in example.wrong:
        with pytest.raises(ValueError, match="expected|empty"):
            tokenizer.encode(wrong)


@pytest.mark.parametrize("example", CASES)
def test_bad_codes_are_refused(example):
    tokenizer = trained(example)
    if not tokenizer.has_decoder:
        return  # refuses all codes
    good = as_list(tokenizer.encode(example.media))
    too_high = [good[0] + tokenizer.spec.codebook_size]
    for wrong in [
        [],
        too_high,
        [good[0] - 1000],
        [good[0].float()],
        [good[0][0]],
        [good[0].repeat_interleave(50, dim=-2)],
    ]:
        with pytest.raises(ValueError, match="expected|takes"):
            tokenizer.decode(wrong)


@pytest.mark.parametrize("example", TRAINABLE)
def test_training_forward(example):
    torch.manual_seed(0)
    tokenizer = example.tokenizer().train()
    out = tokenizer(example.media)
    assert isinstance(out, TokenizerOutput)
    out.loss.backward()
    learning = [p for p in tokenizer.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)
    assert "reconstruction" in out.parts
    assert {f"usage/{i}" for i in range(tokenizer.spec.num_codebooks)} <= set(out.metrics)
    positions = sum(codes[..., 0].numel() for codes in as_list(tokenizer.encode(example.media)))
    assert out.codes.shape == (positions, tokenizer.spec.num_codebooks)


@pytest.mark.parametrize("example", TRAINABLE)
def test_preview(example):
    preview = trained(example).preview(example.media)
    assert preview.pictures
    for picture in preview.pictures.values():
        assert picture.ndim == 3
        assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    for sound in preview.sounds.values():
        assert sound.ndim == 1
        assert float(sound.abs().max()) <= 1
