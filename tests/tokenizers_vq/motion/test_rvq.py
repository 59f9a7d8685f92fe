from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tokenizers_vq.contract.described import rebuild
from tokenizers_vq.contract.motion import Motion, Skeleton
from tokenizers_vq.motion import MotionRVQ, PoseFeatures
from tokenizers_vq.motion.drawing import draw_joints

SKELETON = Skeleton(
    ("root", "head", "left_foot", "right_foot"),
    (-1, 0, 0, 0),
    ((0.0, 0.0, 0.0), (0.0, 0.6, 0.1), (0.0, -0.9, -0.1), (0.0, -0.9, 0.1)),
    (0, 1, 3, 2),
)


FEATURES = PoseFeatures(SKELETON, 30.0, ("left_foot", "right_foot"))


def walk(length: int, seed: int = 0) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    sway = torch.randn(length, 4, 3, generator=generator).cumsum(dim=0) * 0.05
    rotations = normalize(torch.cat([torch.ones(length, 4, 1), sway], dim=-1), dim=-1)
    return Motion(SKELETON, 30.0, torch.randn(length, 3, generator=generator).cumsum(dim=0) * 0.02, rotations)


def walks(*lengths: int) -> list[Motion]:
    return [walk(length, seed) for seed, length in enumerate(lengths)]


def padded(motions: list[Motion], filler: float) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([m.poses for m in motions], batch_first=True, padding_value=filler)


@pytest.fixture(scope="module")
def tokenizer() -> MotionRVQ:
    torch.manual_seed(0)
    sizes = {"width": 16, "num_blocks": 1, "codebook_size": 16, "code_dim": 4, "num_codebooks": 3}
    tokenizer = MotionRVQ(FEATURES, max_length=8, **sizes)
    tokenizer.train()(walks(32, 20, 17, 9))
    return tokenizer.eval()


def test_lengths(tokenizer: MotionRVQ) -> None:
    codes = tokenizer.encode(walks(4, 5, 8, 32))
    assert [tuple(c.shape) for c in codes] == [(1, 3), (2, 3), (2, 3), (8, 3)]
    motions = tokenizer.decode(codes)
    assert [len(m) for m in motions] == [4, 8, 8, 32]
    assert motions[0].skeleton == SKELETON
    assert motions[0].rate == 30.0
    assert tokenizer.spec.tokens_of_span(0.2, 0.3, (4,)).tolist() == [False, True, True, False]


def test_padded_poses_are_the_list(tokenizer: MotionRVQ) -> None:
    motions = walks(9, 17, 4)
    lengths = torch.tensor([9, 17, 4])
    expected = tokenizer.encode(motions)
    found = tokenizer.encode(padded(motions, float("nan")), lengths)
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    torch.testing.assert_close(tokenizer(padded(motions, 7.0), lengths).loss, tokenizer(motions).loss)


def test_company_does_not_count(tokenizer: MotionRVQ) -> None:
    motions = walks(9, 17, 4, 32, 8)
    together = tokenizer.encode(motions)
    for motion, codes in zip(motions, together):
        assert torch.equal(tokenizer.encode([motion])[0], codes)
    for codes, motion in zip(together, tokenizer.decode(together)):
        torch.testing.assert_close(tokenizer.decode([codes])[0].positions, motion.positions)


def test_statistics_are_learned_once_and_saved(tokenizer: MotionRVQ) -> None:
    before = {name: value.clone() for name, value in tokenizer.normaliser.state_dict().items()}
    assert bool(before["is_fitted"])
    features = torch.cat([tokenizer.features.of_motion(m) for m in walks(32, 20, 17, 9)])
    torch.testing.assert_close(before["mean_F"], features.mean(dim=0), atol=1e-4, rtol=1e-4)
    height = features[:, tokenizer.features.groups["height"]].std(correction=0)
    weight = FEATURES.weights["height"]
    torch.testing.assert_close(before["deviation_F"][3], height / weight, atol=1e-4, rtol=1e-4)
    again = MotionRVQ(**rebuild(tokenizer.config()))
    again.load_state_dict(tokenizer.state_dict())
    again.train()(walks(20, 8))
    assert all(torch.equal(again.normaliser.state_dict()[name], value) for name, value in before.items())


def test_it_starts_from_principal_components() -> None:
    """Codes are good before the first update, and every level has codes of its own."""
    torch.manual_seed(0)
    tokenizer = MotionRVQ(FEATURES, max_length=8, width=16, num_blocks=1, codebook_size=16, num_codebooks=4)
    motions = walks(32, 32, 32, 32)
    out = tokenizer.train()(motions)
    assert out.target is not None
    nothing = torch.nn.functional.smooth_l1_loss(torch.zeros_like(out.target), out.target)
    assert out.parts["reconstruction"] < 0.5 * nothing
    assert all(len(level.unique(dim=0)) > 8 for level in tokenizer.code_vectors())
    linear = [p.clone() for p in tokenizer.patches.parameters()]
    tokenizer.train()(walks(20, 20))
    assert all(torch.equal(a, b) for a, b in zip(linear, tokenizer.patches.parameters()))


def test_a_beam_loses_less() -> None:
    torch.manual_seed(0)
    sizes = {"max_length": 8, "width": 16, "num_blocks": 1, "codebook_size": 16, "num_codebooks": 4}
    tokenizer = MotionRVQ(FEATURES, **sizes)
    motions = walks(32, 32, 32, 32)
    tokenizer.train()(motions)
    wide = MotionRVQ(FEATURES, **sizes, beam=8)
    wide.load_state_dict(tokenizer.state_dict())
    features, num_tokens, _ = tokenizer._features(motions, None)
    latents = tokenizer._latents(tokenizer.normaliser(features), num_tokens)
    found = [torch.stack(one.eval().encode(motions)) for one in (tokenizer, wide)]
    assert torch.equal(found[0], tokenizer.quantizer.encode(latents))
    left = [float((tokenizer.quantizer.decode(codes) - latents).detach().square().mean()) for codes in found]
    assert left[1] < 0.98 * left[0]


def test_levels(tokenizer: MotionRVQ) -> None:
    codes = tokenizer.encode(walks(9, 17))
    whole, same = tokenizer.decode(codes), tokenizer.decode_levels(codes, 3)
    assert all(torch.equal(a.rotations, b.rotations) for a, b in zip(whole, same))
    assert not torch.equal(tokenizer.decode_levels(codes, 1)[0].rotations, whole[0].rotations)
    with pytest.raises(ValueError, match="num_levels=4"):
        tokenizer.decode_levels(codes, 4)


def test_it_learns() -> None:
    torch.manual_seed(0)
    sizes = {"width": 32, "num_blocks": 1, "codebook_size": 8, "code_dim": 16}
    tokenizer = MotionRVQ(FEATURES, **sizes, shares_codebook=True)
    optimizer = torch.optim.AdamW(tokenizer.parameters(), 2e-3)
    motions = walks(16, 16, 16, 16)
    losses = []
    for _ in range(40):
        out = tokenizer.train()(motions)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        losses.append(float(out.parts["joints"].detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_wrong_motions_are_named(tokenizer: MotionRVQ) -> None:
    good = walk(8)
    longer = replace(SKELETON, offsets=((0.0, 0.0, 0.0), (0.0, 0.7, 0.1), *SKELETON.offsets[2:]))
    renamed = replace(SKELETON, names=("root", "tail", "left_foot", "right_foot"))
    for wrong, message in [
        ([replace(good, rate=20.0)], "20 poses a second, expected 30"),
        ([replace(good, skeleton=longer)], "up to 0.1 m"),
        ([replace(good, skeleton=renamed)], "tail"),
        ([walk(3)], "3 to 3 poses, expected 4 to 32"),
        ([walk(33)], "33 to 33 poses, expected 4 to 32"),
        ([replace(good, rotations=good.rotations * 2)], "unit length by up to 1"),
        ([good.poses], "type Tensor"),
        ([], "at least one motion"),
        (good.poses[None, :, :10], r"expected \(B, T, 19\)"),
        (good.poses[None].long(), "floating point"),
        (good.poses[None] * float("nan"), "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            tokenizer.encode(wrong)
    with pytest.raises(ValueError, match="lengths up to 9"):
        tokenizer.encode(good.poses[None], torch.tensor([9]))
    with pytest.raises(ValueError, match="list of motions"):
        tokenizer.encode([good], torch.tensor([8]))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="width=0"):
        MotionRVQ(FEATURES, width=0)


def test_a_figure_is_drawn_where_it_is() -> None:
    joints = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 1.5, 0.0]]])
    picture = draw_joints(joints, (-1, 0), size=110)[0, 0]
    assert picture.shape == (110, 110)
    rows, columns = (picture < 0.1).nonzero().unbind(dim=1)
    assert (int(rows.min()), int(rows.max())) == (pytest.approx(24, abs=1), pytest.approx(51, abs=1))
    assert 53 <= int(columns.min()) <= int(columns.max()) <= 56
