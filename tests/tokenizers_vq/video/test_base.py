"""What all video tokenizers share, tried on one without weights."""

import pytest
import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from tokenizers_vq.layers.past import Past
from tokenizers_vq.quantizers import FSQ
from tokenizers_vq.video import VideoTokenizer
from tokenizers_vq.video.frames import FrameGrid
from tokenizers_vq.video.pieces import frame_pieces


class Means(VideoTokenizer):
    """A token is the mean of the 4 x 4 pixels of its last frame."""

    def __init__(self, quantizer: FSQ, image_size: int = 8, channels: int = 1) -> None:
        super().__init__(quantizer, image_size, channels, 4, temporal_stride=2, max_length=4, rate=10.0)
        self.gain = nn.Parameter(torch.ones(()))

    def latents(self, x_BCTHW: Tensor, past: Past | None = None) -> Tensor:
        first = 0 if past is None or past.is_start else 1
        means = "b c t (y i) (x j) -> b t y x c i j"
        x = rearrange(x_BCTHW[:, :, first::2], means, i=4, j=4).mean(dim=(-1, -2))
        return self.gain * torch.atanh(0.99 * x.mean(dim=-1, keepdim=True))  # FSQ rounds the tanh

    def videos(self, latents: Tensor, past: Past | None = None) -> Tensor:
        first = 1 if past is None or past.is_start else 0
        pixels = "b n y x 1 -> b c (n t) (y i) (x j)"
        return self.gain * repeat(latents, pixels, c=self.grid.channels, t=2, i=4, j=4)[:, :, first:]


def made() -> Means:
    return Means(FSQ((64,)))


def videos(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    blocks = [torch.rand(length, 1, 2, 2, generator=generator) for length in lengths]
    return [block.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3) for block in blocks]


def test_the_spec_tells_the_first_frame_apart() -> None:
    spec = made().spec
    assert (spec.axes, spec.grid, spec.stride) == (("t", "y", "x"), (None, 2, 2), (2, 4, 4))
    assert (spec.max_length, spec.rate, spec.first_stride) == (4, 10.0, 1)
    is_hit = spec.tokens_of_span(0.1, 0.3, (3, 2, 2))  # frames 1 and 2
    assert is_hit[:, 0, 0].tolist() == [False, True, False]


@pytest.mark.parametrize(("frames", "tokens"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_the_last_frame_is_held_to_the_end_of_the_last_token(frames: int, tokens: int) -> None:
    (video,) = videos(frames)
    (codes,) = made().encode([video])
    assert codes.shape == (tokens, 2, 2, 1)
    held = torch.cat([video, video[-1:]])[: 1 + 2 * (tokens - 1)]
    assert torch.equal(made().encode([held])[0], codes)
    (decoded,) = made().decode([codes])
    assert decoded.shape == (1 + 2 * (tokens - 1), 1, 8, 8)
    torch.testing.assert_close(decoded[::2], held[::2], atol=0.03, rtol=0)
    assert made().decode([codes], [frames])[0].shape == video.shape


def test_lists_and_padded_batches_agree() -> None:
    clips = videos(3, 6, 1)
    padded = torch.full((3, 6, 1, 8, 8), float("nan"))
    for row, clip in zip(padded, clips):
        row[: len(clip)] = clip
    lengths = torch.tensor([3, 6, 1])
    for a, b in zip(made().encode(clips), made().encode(padded, lengths)):
        assert torch.equal(a, b)
    ours, theirs = made().train()(clips), made().train()(padded, lengths)
    assert torch.equal(ours.loss, theirs.loss)
    assert torch.equal(ours.codes, theirs.codes)


def test_what_follows_the_last_token_is_out_of_the_loss() -> None:
    out = made().train()(videos(2, 7))
    assert out.target is not None
    assert out.target.shape == out.reconstruction.shape == (2, 1, 7, 8, 8)
    assert out.codes.shape == ((2 + 4) * 4, 1)
    assert not out.target[0, :, 3:].any() and not out.reconstruction[0, :, 3:].any()
    alone = [made().train()([video]).parts["reconstruction"] for video in videos(2, 7)]
    torch.testing.assert_close(out.parts["reconstruction"], (3 * alone[0] + 7 * alone[1]) / 10)


@pytest.mark.parametrize("sizes", [[9], [1, 8], [4, 5], [2, 2, 2, 3], [1] * 9, [3, 20, 5], [10]])
def test_films_in_pieces_of_any_length(sizes: list[int]) -> None:
    (film,) = videos(sum(sizes))
    codes = list(made().encode_chunks(film.split(sizes)))
    assert all(1 <= len(piece) <= 4 for piece in codes)
    held = torch.cat([film, film[-1:]])
    assert torch.equal(
        torch.cat(codes), torch.cat(made().encode(held[: len(film) + 1 - len(film) % 2 : 2, None]))
    )
    decoded = torch.cat(list(made().decode_chunks(codes)))
    assert len(film) <= len(decoded) <= len(film) + 1
    torch.testing.assert_close(decoded[: len(film)][::2], film[::2], atol=0.03, rtol=0)


def test_a_decoded_film_ends_where_it_should() -> None:
    (film,) = videos(10)
    codes = list(made().encode_chunks(film.split(3)))
    whole = torch.cat(list(made().decode_chunks(codes)))
    assert len(whole) == 11
    for length in (10, 5, 1):
        assert torch.equal(torch.cat(list(made().decode_chunks(codes, length))), whole[:length])
    with pytest.raises(ValueError, match="11 frames"):
        list(made().decode_chunks(codes, 12))


def test_pieces_are_regrouped_to_whole_tokens() -> None:
    grid = FrameGrid((8, 8), 1, stride=3, max_tokens=2)
    (film,) = videos(17)
    found = [piece.shape[2] for piece in frame_pieces(film.split([2, 1, 1, 2, 11]), grid)]
    assert found == [1, 3, 6, 6, 3]
    again = (
        torch.cat(list(frame_pieces(film.split([2, 1, 1, 2, 11]), grid)), dim=2)[0].transpose(0, 1) / 2 + 0.5
    )
    torch.testing.assert_close(again, torch.cat([film, film[-1:].expand(2, -1, -1, -1)]))


def test_lengths_of_decode_are_checked() -> None:
    codes = made().encode(videos(3, 6))
    assert [len(video) for video in made().decode(codes, [2, 6])] == [2, 6]
    for wrong in ([3], [4, 6], [1, 6], [3, 8]):
        with pytest.raises(ValueError, match="lengths"):
            made().decode(codes, wrong)


@pytest.mark.parametrize(
    ("media", "lengths", "named"),
    [
        ([], None, "at least one"),
        (videos(3)[0], None, "a list of"),
        (videos(8), None, "expected 1 to 7"),
        ([videos(3)[0][:0]], None, "empty"),
        ([videos(3)[0][0]], None, "shape"),
        ([videos(3)[0][..., :4]], None, "resize"),
        ([videos(3)[0].expand(-1, 3, -1, -1)], None, "resize"),
        ([videos(3)[0] * 255], None, "bytes"),
        ([videos(3)[0] * float("nan")], None, "nan"),
        ([(videos(3)[0] * 255).byte()], None, "floating"),
        (videos(3), torch.tensor([3]), "lengths belong"),
        (torch.stack(videos(3, 3)), torch.tensor([3]), "lengths of shape"),
        (torch.stack(videos(3, 3)), torch.tensor([3, 4]), "3 frames"),
        (torch.stack(videos(3, 3)), torch.tensor([3, 0]), "videos of 0"),
    ],
)
def test_bad_media_are_refused_by_name(media: list[Tensor], lengths: Tensor | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        made().encode(media, lengths)
    with pytest.raises(ValueError, match=named):
        made()(media, lengths)


def test_bad_pieces_are_refused() -> None:
    (film,) = videos(3)
    for wrong in ([], [film[0]], [film, film * 2], [film, film[..., :4]], [film[:0]]):
        with pytest.raises(ValueError, match="expected|empty"):
            list(made().encode_chunks(wrong))
    codes = made().encode([film])[0]
    for bad in ([], [codes + 64], [codes[0]], [codes.float()], [codes.repeat(9, 1, 1, 1)]):
        with pytest.raises(ValueError, match="expected"):
            list(made().decode_chunks(bad))


@pytest.mark.parametrize(
    ("wrong", "named"), [({"channels": 2}, "channels"), ({"image_size": 10}, "image_size")]
)
def test_wrong_arguments_are_named(wrong: dict[str, int], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Means(FSQ((4,)), **wrong)
