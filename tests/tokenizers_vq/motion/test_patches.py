import pytest
import torch

from tokenizers_vq.motion.normaliser import Normaliser
from tokenizers_vq.motion.patches import PrincipalPatches


def low_rank(rank: int = 3, seed: int = 0) -> torch.Tensor:
    """(4, 8, 5) rows whose patches of two lie in a space of few dimensions."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.randn(rank, 10, generator=generator)
    return (torch.randn(4, 4, rank, generator=generator) @ basis).view(4, 8, 5)


def test_components_give_the_patches_back() -> None:
    patches, rows = PrincipalPatches(5, 2, 3), low_rank()
    is_valid = torch.ones(4, 4, dtype=torch.bool)
    assert patches.fit_once(rows, is_valid)
    latents = patches.encode(rows)
    assert latents.shape == (4, 4, 3)
    torch.testing.assert_close(patches.decode(latents), rows, atol=1e-4, rtol=1e-4)


def test_padding_does_not_count() -> None:
    one, other = PrincipalPatches(5, 2, 3), PrincipalPatches(5, 2, 3)
    rows = low_rank()
    is_valid = torch.ones(4, 4, dtype=torch.bool)
    is_valid[2, 1:] = False
    one.fit_once(rows, is_valid)
    other.fit_once(torch.where(is_valid.repeat_interleave(2, dim=1)[..., None], rows, 7.0), is_valid)
    torch.testing.assert_close(one.analysis_PD, other.analysis_PD)


def test_it_starts_once_also_after_loading() -> None:
    patches = PrincipalPatches(5, 2, 3)
    is_valid = torch.ones(4, 4, dtype=torch.bool)
    patches.fit_once(low_rank(), is_valid)
    again = PrincipalPatches(5, 2, 3)
    again.load_state_dict(patches.state_dict())
    assert not again.fit_once(low_rank(seed=1), is_valid)
    assert torch.equal(again.analysis_PD, patches.analysis_PD)


def test_too_many_latents_are_named() -> None:
    with pytest.raises(ValueError, match="latents of width 11, expected at most 10"):
        PrincipalPatches(5, 2, 11)


def test_known_statistics_and_weights() -> None:
    normaliser = Normaliser(3, [slice(0, 1), slice(1, 3)], [4.0, 1.0])
    normaliser.set_statistics(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 1.0]))
    rows = torch.tensor([[[3.0, 3.0, 3.0]]])
    assert normaliser(rows).tolist() == [[[4.0, 1.0, 0.0]]]
    assert torch.equal(normaliser.inverse(normaliser(rows)), rows)
    normaliser.fit_once(rows, torch.ones(1, 1, dtype=torch.bool))
    assert normaliser.mean_F.tolist() == [1.0, 2.0, 3.0]
    for mean, deviation, message in [
        (torch.zeros(2), torch.ones(2), r"\(2,\) and \(2,\), expected \(3,\)"),
        (torch.full((3,), float("nan")), torch.ones(3), "NaN"),
        (torch.zeros(3), torch.zeros(3), "deviations from 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            normaliser.set_statistics(mean, deviation)
