"""Media for the contract of tokenizers, and media that it refuses."""

import torch
from torch import Tensor

from tokenizers_vq.contract.motion import Motion, Skeleton

TEXTS = ["a handwritten seven", "the digit 3", "this is a nine"]


def images(count: int = 3, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, 16, 16, generator=torch.Generator().manual_seed(0))


def clips() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, generator=generator) - 0.5 for size in (640, 2000, 5000)]


def long_clips() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, generator=generator) - 0.5 for size in (2800, 5000, 6400)]


SKELETON = Skeleton(("root", "foot"), (-1, 0), ((0.0, 0.0, 0.0), (0.1, -0.9, 0.0)), (0, 1))


def motions() -> list[Motion]:
    generator = torch.Generator().manual_seed(0)
    roots = [torch.rand(size, 3, generator=generator) for size in (4, 9, 16)]
    numbers = [torch.rand(len(root), 2, 4, generator=generator) + 0.1 for root in roots]
    return [Motion(SKELETON, 30.0, r, q / q.norm(dim=-1, keepdim=True)) for r, q in zip(roots, numbers)]


def videos() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, 1, 16, 16, generator=generator) for size in (1, 4, 9)]


def rows() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(size, 263, generator=generator) for size in (4, 9, 16)]


BAD_IMAGES = [
    images()[:, 0],
    images(channels=3),
    images()[..., :8],
    images() * 255,
    images() - 1,
    images() * float("nan"),
    (images() * 255).byte(),
    images(0),
    [[0.5]],
]
BAD_VIDEOS = [
    [],
    videos()[2],
    [videos()[2][:0]],
    [videos()[2][:, :, :8]],
    [videos()[2].expand(-1, 3, -1, -1)],
    [videos()[2].repeat(2, 1, 1, 1)],
    [videos()[2] * 255],
    [videos()[2] * float("nan")],
    [(videos()[2] * 255).byte()],
    [[[0.5]]],
]
BAD_CLIPS = [
    [],
    [torch.zeros(0)],
    [torch.zeros(639)],
    [torch.zeros(6401)],
    [torch.zeros(2, 1000)],
    [torch.full((1000,), float("nan"))],
    [torch.full((1000,), 32000.0)],
    [torch.zeros(1000, dtype=torch.int16)],
    torch.zeros(1000),
    torch.zeros(2, 0),
    [[0.0] * 1000],
]
BAD_CODEC_CLIPS = [[torch.zeros(7)] if index == 2 else clips for index, clips in enumerate(BAD_CLIPS)]
BAD_VECTORS = [
    [],
    torch.ones(4, 2),
    torch.ones(3),
    torch.full((2, 3), float("nan")),
    torch.ones(2, 3, dtype=torch.int64),
    [torch.ones(3, 3)],
    [torch.ones(0, 3)],
    "three",
]
BAD_MOTIONS = [
    [],
    [Motion(SKELETON, 20.0, m.root, m.rotations) for m in motions()],
    [Motion(SKELETON, 30.0, motions()[0].root[:3], motions()[0].rotations[:3])],
    [torch.zeros(8, 11)],
    torch.zeros(2, 8, 11),
    torch.zeros(2, 8, 12),
    motions()[2].poses[None] * float("nan"),
]
BAD_ROWS = [
    [],
    [torch.zeros(3, 263)],
    [torch.zeros(33, 263)],
    [torch.zeros(8, 251)],
    [torch.zeros(8, 263, dtype=torch.int64)],
    [torch.full((8, 263), float("nan"))],
    torch.zeros(2, 8, 251),
    motions(),
]
BAD_TEXTS = ["one text", ["fine", ""], ["  "], ["seven " * 20], [7]]
