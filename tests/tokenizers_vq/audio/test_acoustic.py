"""BEATs' acoustic tokenizers: codes of random projections, and codes distilled from a teacher."""

import pytest
import torch

from tokenizers_vq.audio.acoustic import RandomAcoustic
from tokenizers_vq.audio.distilled import DistilledAcoustic
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.layers.band_transformer import BandTransformer
from tokenizers_vq.quantizers import CosineVQ


def clips(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(size, generator=generator) - 0.5 for size in sizes]


class Bands(torch.nn.Module):
    """A linear map of the pupil's own patches, with weights that must not learn."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.front, self.map = FbankPatches(), torch.nn.Linear(256, width)

    def forward(self, clips):
        return [self.map(self.front.inputs([clip])).view(-1, 8, self.map.out_features) for clip in clips]


def distilled(teacher: torch.nn.Module | None, **changes) -> DistilledAcoustic:
    torch.manual_seed(0)
    sizes = {"width": 16, "depth": 1, "estimator_depth": 1, "num_heads": 2, "position_groups": 2}
    quantizer = CosineVQ(8, 4, init="normal")
    return DistilledAcoustic(
        quantizer, teacher, **({"teacher_dim": 6, "position_kernel": 8} | sizes | changes)
    )


def test_random_codes_are_the_nearest_unit_codes_of_projected_patches():
    tokenizer = RandomAcoustic(codebook_size=32, codebook_dim=5, seed=3)
    media = clips(2800, 6000)
    codes = tokenizer.encode(media)
    patches = tokenizer.inputs(media)
    quantizer, row = tokenizer.quantizer, 0
    for sample in codes:
        for code in sample.reshape(-1).tolist():
            patch = patches[row]
            patch = (patch - patch.mean()) / (patch.var(correction=0) + 1e-5).sqrt()
            vector = patch @ quantizer.projection_QDE[0]
            distances = (quantizer.codebook_QKE[0] - vector / vector.norm()).square().sum(dim=1)
            assert code == int(distances.argmin())
            row += 1
    assert row == len(patches)
    other = RandomAcoustic(codebook_size=32, codebook_dim=5, seed=4)
    assert not torch.equal(other.encode(media)[1], codes[1])


def test_padding_changes_nothing():
    torch.manual_seed(0)
    network = BandTransformer(3, 8, 2, 2, kernel_size=4, num_groups=2).eval()
    x = torch.randn(2, 5, 3, 8)
    is_valid = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    said, other = network(x, is_valid), x.clone()
    other[1, 2:] = 9.0
    torch.testing.assert_close(network(other, is_valid)[1, :2], said[1, :2])
    torch.testing.assert_close(network(x[1:, :2], is_valid[1:, :2])[0], said[1, :2], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="multiple"):
        BandTransformer(3, 8, 1, 3, 4, 2)


def test_it_learns_the_teacher_and_the_teacher_does_not_learn():
    teacher = Bands()
    before = teacher.map.weight.clone()
    tokenizer = distilled(teacher).train()
    media = [sound * scale for sound in clips(4000, 6000, 8000) for scale in (0.01, 0.2, 1.0)]
    optimizer = torch.optim.Adam([p for p in tokenizer.parameters() if p.requires_grad], lr=3e-3)
    distances = []
    for _ in range(25):
        out = tokenizer(media)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        distances.append(out.parts["reconstruction"].item())
    assert distances[-1] < 0.7 * distances[0]
    assert torch.equal(teacher.map.weight, before)
    assert not any("teacher" in name for name in tokenizer.state_dict())
    tokenizer.eval()
    codes = tokenizer.encode(media)
    assert [one.shape for one in tokenizer.features(codes)] == [(*one.shape[:2], 6) for one in codes]


def test_a_padded_batch_is_its_clips():
    tokenizer, media = distilled(Bands()).eval(), clips(4000, 6400)
    padded = torch.nn.utils.rnn.pad_sequence(media, batch_first=True)
    sizes = torch.tensor([4000, 6400])
    for a, b in zip(tokenizer.encode(padded, sizes), tokenizer.encode(media)):
        assert torch.equal(a, b)
    a, b = tokenizer(padded, sizes), tokenizer(media)
    torch.testing.assert_close(a.loss, b.loss)
    torch.testing.assert_close(a.target, b.target)


def test_a_missing_or_unfit_teacher_is_refused():
    with pytest.raises(ValueError, match="no teacher"):
        distilled(None)(clips(4000))
    with pytest.raises(ValueError, match="teacher_dim"):
        distilled(Bands(5))(clips(4000))
    with pytest.raises(ValueError, match="expected"):
        distilled(None).features([torch.full((2, 8, 1), 8)])
