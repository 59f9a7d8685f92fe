"""What C-ViViT promises: causal both ways, any length, images as first frames, films in pieces."""

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tokenizers_vq.contract import load_tokenizer
from tokenizers_vq.layers.past import Past
from tokenizers_vq.quantizers import FSQ, CosineVQ, ProjectedQuantizer
from tokenizers_vq.training import TokenizerModule
from tokenizers_vq.video.cvivit import CViViT

STRIDE = 2


def made(**changes) -> CViViT:
    torch.manual_seed(0)
    settings = {"quantizer": FSQ((8, 8)), "image_size": (8, 12), "patch_size": 4, "temporal_stride": STRIDE}
    sizes = {
        "width": 16,
        "space_depth": 1,
        "time_depth": 2,
        "num_heads": 2,
        "time_window": 4,
        "max_length": 12,
    }
    return CViViT(**(settings | sizes | changes)).eval()


def film(length: int, seed: int = 0) -> Tensor:
    return torch.rand(length, 3, 8, 12, generator=torch.Generator().manual_seed(seed))


def test_a_code_for_each_patch_of_the_first_frame_and_for_each_tube():
    spec = made().spec
    assert (spec.axes, spec.grid, spec.stride) == (("t", "y", "x"), (None, 2, 3), (2, 4, 4))
    assert spec.first_stride == 1
    assert made().encode([film(7)])[0].shape == (4, 2, 3, 1)


@torch.no_grad()
@pytest.mark.parametrize("frame", range(7))
def test_codes_depend_on_no_later_frame(frame):
    tokenizer, video = made(), film(7)
    x_BCTHW = video.transpose(0, 1)[None]
    changed = x_BCTHW.clone()
    changed[:, :, frame] += 1.0
    moved = (tokenizer.latents(changed) - tokenizer.latents(x_BCTHW)).abs().amax(dim=(0, 2, 3, 4)) > 0
    first = (frame + 1) // STRIDE
    assert moved.tolist() == [step >= first for step in range(4)]


@torch.no_grad()
@pytest.mark.parametrize("step", range(4))
def test_frames_depend_on_no_later_code(step):
    tokenizer = made()
    latents = torch.randn(1, 4, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    changed = latents.clone()
    changed[:, step] += 1.0
    moved = (tokenizer.videos(changed) - tokenizer.videos(latents)).abs().amax(dim=(0, 1, 3, 4)) > 0
    first = 0 if step == 0 else 1 + (step - 1) * STRIDE
    assert moved.tolist() == [frame >= first for frame in range(7)]


def test_an_image_is_the_first_frame_of_a_video():
    tokenizer, video = made(), film(5)
    (whole,), (image,) = tokenizer.encode([video]), tokenizer.encode([video[:1]])
    assert image.shape == (1, 2, 3, 1)
    assert torch.equal(whole[:1], image)
    torch.testing.assert_close(tokenizer.decode([whole])[0][:1], tokenizer.decode([image])[0])


@pytest.mark.parametrize("length", [1, 2, 3, 9, 22, 23])
def test_every_length_has_codes_and_comes_back(length):
    tokenizer, video = made(), film(length)
    (codes,) = tokenizer.encode([video])
    assert len(codes) == 1 + -(-(length - 1) // STRIDE)
    assert tokenizer.decode([codes], [length])[0].shape == video.shape
    # The codes of a video begin with those of its beginning.
    longer = tokenizer.encode([torch.cat([video, film(23 - length, 1)])])[0]
    assert torch.equal(longer[: 1 + (length - 1) // STRIDE], codes[: 1 + (length - 1) // STRIDE])


def test_videos_of_a_batch_are_as_one_by_one():
    tokenizer, videos = made(), [film(3), film(9, 1), film(1, 2), film(6, 3)]
    together = tokenizer.encode(videos)
    decoded = tokenizer.decode(together)
    for video, codes, frames in zip(videos, together, decoded):
        (alone,) = tokenizer.encode([video])
        assert torch.equal(codes, alone)
        torch.testing.assert_close(frames, tokenizer.decode([alone])[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [[31], [1, 30], [7, 8, 16], [1] * 31, [2, 2, 2, 25]])
def test_films_in_pieces_are_as_whole(sizes):
    tokenizer, video = made(max_length=16), film(31)
    (whole,) = tokenizer.encode([video])
    codes = list(tokenizer.encode_chunks(video.split(sizes)))
    assert torch.equal(torch.cat(codes), whole)
    frames = torch.cat(list(tokenizer.decode_chunks(codes)))
    torch.testing.assert_close(frames, tokenizer.decode([whole])[0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_memory_of_a_film_has_a_bound():
    tokenizer, past = made(time_window=4), Past()
    piece = film(1 + 4 * STRIDE).transpose(0, 1)[None]
    for _ in range(3):
        tokenizer.latents(piece if past.is_start else piece[:, :, 1:], past)
        past.move_on()
    kept = [past.of(block.attn) for block in tokenizer.encoder_time.blocks]
    assert [tuple(one.shape) for one in kept] == [(2, 6, 2, 3, 8)] * 2
    assert all(one.untyped_storage().nbytes() == one.nbytes for one in kept)


def test_decode_is_what_the_loss_saw():
    quantizer = ProjectedQuantizer(12, CosineVQ(16, 4, init="normal"))
    tokenizer, video = made(quantizer=quantizer), film(7)
    out = tokenizer(video[None])
    (frames,) = tokenizer.decode(tokenizer.encode([video]))
    seen = (out.reconstruction[0].transpose(0, 1) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(frames, seen, atol=1e-5, rtol=0)


def test_the_last_layer_makes_the_later_frames():
    tokenizer = made().train()
    out = tokenizer(film(5)[None])
    (gradient,) = torch.autograd.grad(out.loss, tokenizer.last_layer())
    assert gradient.shape[0] == STRIDE * 3 * 4 * 4
    assert gradient.abs().sum() > 0


def test_it_trains_in_bfloat16():
    tokenizer = made().train()
    with torch.autocast("cpu", torch.bfloat16):
        out = tokenizer(film(5)[None])
    out.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tokenizer.parameters())


class Blinking(L.LightningDataModule):
    """Batches of videos whose patches are black or white and change in the middle."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = num_steps

    def train_dataloader(self) -> DataLoader:
        patches = torch.rand(4, 2, 1, 2, 3, generator=torch.Generator().manual_seed(1)) > 0.5
        frames = patches.float().repeat_interleave(4, 3).repeat_interleave(4, 4).expand(-1, -1, 3, -1, -1)
        videos = frames[:, [0, 0, 0, 1, 1]]
        return DataLoader([{"media": videos}] * self.num_steps, batch_size=None)


def test_it_learns_through_lightning_and_comes_back_from_its_folder(tmp_path):
    module = TokenizerModule(made(width=32), lr=3e-3, warmup_steps=5)
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu", max_steps=80, enable_model_summary=False, default_root_dir=tmp_path, **settings
    )
    data = Blinking(80)
    trainer.fit(module, data)
    (batch,) = list(data.train_dataloader())[:1]
    module.export(tmp_path / "folder")
    tokenizer = load_tokenizer(tmp_path / "folder")
    decoded = torch.stack(tokenizer.decode(tokenizer.encode(batch["media"])))
    assert (decoded - batch["media"]).abs().mean() < 0.2  # a grey video is 0.5 away
    assert torch.equal(
        torch.stack(tokenizer.encode(batch["media"])),
        torch.stack(module.tokenizer.eval().encode(batch["media"])),
    )


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"patch_size": 5}, "multiple of 5"),
        ({"patch_size": 0}, "patch_size=0"),
        ({"temporal_stride": 0}, "temporal_stride=0"),
        ({"num_heads": 3}, "num_heads=3"),
        ({"space_depth": 0}, "depth=0"),
        ({"time_depth": 0}, "depth=0"),
        ({"time_window": 0}, "window=0"),
        ({"max_length": 0}, "max_length=0"),
        ({"channels": 2}, "channels=2"),
    ],
)
def test_wrong_arguments_are_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        made(**wrong)


def test_codes_of_another_vocabulary_are_refused():
    tokenizer = made()
    (codes,) = tokenizer.encode([film(3)])
    for wrong in (codes + 64, codes[:, :1], codes.float(), codes[:0]):
        with pytest.raises(ValueError, match="expected"):
            tokenizer.decode([wrong])
