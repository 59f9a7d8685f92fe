"""Causality, one frame, chunks, and convolutions against a naive twin."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.layers.causal3d import CausalConv, FrameShuffle
from tokenizers_vq.layers.past import Past
from tokenizers_vq.quantizers import FSQ, LFQ, ProjectedQuantizer, ResidualVQ, VectorQuantizer
from tokenizers_vq.video import CausalVideoCNN

STRIDES: list[dict[str, Any]] = [
    {"time_strides": (2, 2)},
    {"time_strides": (1, 4)},
    {"time_strides": (3, 1), "kernel_time": 2},
    {"time_strides": (1, 1), "kernel_time": 1},
    {"time_strides": (1, 2), "stem_stride": 1, "has_attention": True},
]


def made(**changes: Any) -> CausalVideoCNN:
    """Weights that are no start: blocks would be the identity."""
    settings: dict[str, Any] = {
        "quantizer": ProjectedQuantizer(4, FSQ((5, 5, 5))),
        "image_size": 16,
        "channels": 1,
        "width": 8,
        "multipliers": (1, 2),
        "num_blocks": 1,
        "stem_stride": 2,
        "time_strides": (2, 2),
        "max_length": 5,
    }
    torch.manual_seed(0)
    tokenizer = CausalVideoCNN(**(settings | changes)).eval()
    for parameter in tokenizer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return tokenizer


def film(length: int, seed: int = 0, side: int = 16) -> Tensor:
    return torch.rand(length, 1, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("changes", STRIDES)
def test_a_changed_frame_changes_no_token_before_it(changes: dict[str, Any]) -> None:
    tokenizer = made(**changes)
    stride = tokenizer.grid.stride
    x = film(1 + 3 * stride)
    plain = tokenizer.latents(x.transpose(0, 1)[None])
    for frame in range(len(x)):
        other = x.clone()
        other[frame] = film(1, seed=1)[0]
        changed = tokenizer.latents(other.transpose(0, 1)[None])
        is_same = (changed == plain).flatten(2).all(dim=2)[0]
        first = -(-frame // stride)  # the first token that may see the frame
        assert is_same[:first].all()
        assert not is_same[first]


@pytest.mark.parametrize("changes", STRIDES)
def test_a_changed_token_changes_no_frame_before_its_own(changes: dict[str, Any]) -> None:
    tokenizer = made(**changes)
    stride = tokenizer.grid.stride
    codes = tokenizer.encode([film(1 + 3 * stride)])[0]
    (plain,) = tokenizer.decode([codes])
    for token in range(4):
        other = codes.clone()
        other[token] = (other[token] + 7) % 125
        is_same = (tokenizer.decode([other])[0] == plain).flatten(1).all(dim=1)
        first = 1 + (token - 1) * stride if token else 0
        assert is_same[:first].all()
        assert not is_same[first:].all()


def test_an_image_is_a_video_of_one_frame() -> None:
    tokenizer = made()
    video = film(9)
    (image,) = tokenizer.encode([video[:1]])
    assert image.shape == (1, 4, 4, 1)
    assert torch.equal(image[0], tokenizer.encode([video])[0][0])
    (decoded,) = tokenizer.decode([image])
    assert decoded.shape == (1, 1, 16, 16)
    torch.testing.assert_close(decoded[0], tokenizer.decode(tokenizer.encode([video]))[0][0])


def test_filling_up_a_batch_changes_no_video() -> None:
    tokenizer = made()
    together = tokenizer.encode([film(3), film(17), film(1)])
    for length, codes in zip((3, 17, 1), together):
        assert torch.equal(tokenizer.encode([film(length)])[0], codes)


@pytest.mark.parametrize("changes", STRIDES)
@pytest.mark.parametrize("sizes", [[13], [1] * 13, [5, 4, 4], [2, 7, 3, 1]])
def test_chunks_give_what_the_whole_gives(changes: dict[str, Any], sizes: list[int]) -> None:
    tokenizer = made(max_length=13, **changes)
    video = film(13)
    (whole,) = tokenizer.encode([video])
    codes = list(tokenizer.encode_chunks(video.split(sizes)))
    assert torch.equal(torch.cat(codes), whole)
    for pieces in (codes, list(whole.split(2))):
        frames = torch.cat(list(tokenizer.decode_chunks(pieces)))
        torch.testing.assert_close(frames, tokenizer.decode([whole])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("changes", STRIDES)
def test_latents_of_chunks_are_those_of_the_whole(changes: dict[str, Any]) -> None:
    tokenizer = made(**changes)
    stride = tokenizer.grid.stride
    x_BCTHW = torch.randn(2, 1, 1 + 4 * stride, 16, 16)
    past, found = Past(), []
    for chunk in x_BCTHW.split([1 + stride, 2 * stride, stride], dim=2):
        found.append(tokenizer.latents(chunk, past))
        past.move_on()
    torch.testing.assert_close(torch.cat(found, dim=1), tokenizer.latents(x_BCTHW), atol=1e-5, rtol=1e-5)


def test_what_is_kept_between_chunks_does_not_grow() -> None:
    tokenizer = made()
    past, sizes = Past(), []
    for length in (1, 8, 16, 4):
        tokenizer.latents(torch.randn(1, 1, length, 16, 16), past)
        past.move_on()
        sizes.append(sum(past.of(layer).numel() for layer in tokenizer.encoder.modules() if layer in past))
    assert len(set(sizes)) == 1 and sizes[0] > 0


def test_a_memory_of_another_model_is_refused() -> None:
    past = Past()
    made().latents(torch.randn(1, 1, 5, 16, 16), past)
    past.move_on()
    with pytest.raises(ValueError, match="no memory"):
        made().latents(torch.randn(1, 1, 4, 16, 16), past)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (1, 1), (2, 3), (3, 2)])
def test_a_causal_convolution_is_the_sum_over_the_frames_it_sees(kernel: int, stride: int) -> None:
    conv = CausalConv(2, 3, kernel, 3, time_stride=stride, padding=1)
    x_BCTHW = torch.randn(2, 2, 1 + 2 * stride, 5, 4)
    found = conv(x_BCTHW)
    assert conv.bias is not None
    for index in range(3):
        total = conv.bias[:, None, None].expand(2, 3, 5, 4)
        for back in range(kernel + stride - 1):
            frame = x_BCTHW[:, :, max(0, index * stride - back)]
            weight = conv.weight[:, :, -1 - back]
            total = total + torch.nn.functional.conv2d(frame, weight, padding=1)
        torch.testing.assert_close(found[:, :, index], total, atol=1e-5, rtol=1e-5)


def test_shuffled_channels_become_frames_and_pixels() -> None:
    x = torch.arange(2 * 3 * 4 * 2.0).reshape(1, 24, 2, 1, 1)  # s 2, C 3, r 2
    found = FrameShuffle(2, 2)(x)
    assert found.shape == (1, 3, 3, 2, 2)
    for t in range(3):
        token, turn = (t + 1) // 2, (t + 1) % 2
        flat = x[0, 12 * turn : 12 * (turn + 1), token, 0, 0]
        expected = torch.nn.functional.pixel_shuffle(flat[:, None, None], 2)
        assert torch.equal(found[0, :, t], expected)


@pytest.mark.parametrize(
    "quantizer",
    [
        lambda: ProjectedQuantizer(6, LFQ(8, num_codebooks=2)),
        lambda: ResidualVQ(2, 16, 4),
        lambda: VectorQuantizer(16, 4),
    ],
)
def test_any_quantizer_is_written_into_the_folder(quantizer: Any, tmp_path: Any) -> None:
    tokenizer = made(quantizer=quantizer())
    tokenizer.train()([film(9), film(5)])
    tokenizer.eval().save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert isinstance(loaded, CausalVideoCNN)
    assert torch.equal(loaded.encode([film(9)])[0], tokenizer.encode([film(9)])[0])


def test_the_same_weights_at_another_size_and_length() -> None:
    tokenizer = made()
    other = tokenizer.at(image_size=(24, 32), max_length=7)
    assert other.spec.grid == (None, 6, 8)
    assert other.spec.max_length == 7
    assert not other.training
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in tokenizer.state_dict().items())
    assert torch.equal(tokenizer.at(max_length=2).encode([film(5)])[0], tokenizer.encode([film(5)])[0])


def test_the_last_layer_makes_the_pixels() -> None:
    tokenizer = made().train()
    out = tokenizer([film(9)])
    (gradient,) = torch.autograd.grad(out.reconstruction.sum(), tokenizer.last_layer())
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"width": 12}, "widths"),
        ({"num_blocks": -1}, "num_blocks"),
        ({"stem_stride": 3}, "stem_stride"),
        ({"image_size": 18}, "image_size"),
        ({"channels": 2}, "channels"),
        ({"time_strides": (2,)}, "time_strides"),
        ({"time_strides": (2, 0)}, "time_strides"),
        ({"kernel_time": 0}, "kernel_time"),
        ({"max_length": 0}, "max_length"),
        ({"rate": 0.0}, "rate"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        made(**wrong)
