import pytest
import torch

from benchmarks.rate_distortion import motion
from benchmarks.rate_distortion.budget import Budget
from benchmarks.rate_distortion.motion_kmeans import PosePatchKMeans
from tests.tokenizers_vq.motion.test_rvq import FEATURES, walks
from tokenizers_vq.contract.motion import Motion
from tokenizers_vq.motion import MotionRVQ


def shifted(one: Motion, step: float) -> Motion:
    """Higher above the ground."""
    return Motion(one.skeleton, one.rate, one.root + torch.tensor([0.0, step, 0.0]), one.rotations)


def test_errors_are_local_and_global() -> None:
    originals = walks(16, 20)
    canonical = [FEATURES.canonical(one) for one in originals]
    exact = motion.errors_mm(FEATURES, originals, canonical)
    assert exact["local_mm"] < 0.1
    assert exact["global_mm"] < 0.1
    higher = motion.errors_mm(FEATURES, originals, [shifted(one, 0.05) for one in canonical])
    assert higher["local_mm"] == pytest.approx(50.0, abs=0.5)
    assert higher["global_mm"] == pytest.approx(50.0, abs=0.5)
    drift = [
        Motion(m.skeleton, m.rate, m.root + torch.linspace(0, 0.2, len(m))[:, None], m.rotations)
        for m in canonical
    ]
    found = motion.errors_mm(FEATURES, originals, [shifted(m, 0.0) for m in drift])
    assert found["global_mm"] > found["local_mm"]


def test_kmeans_with_a_code_for_each_patch_is_exact() -> None:
    torch.manual_seed(0)
    tokenizer = MotionRVQ(FEATURES, max_length=8, width=8, num_blocks=1, codebook_size=64, num_codebooks=2)
    motions = walks(16, 16)
    tokenizer.train()(motions)
    book = PosePatchKMeans(tokenizer.eval(), torch.stack([m.poses for m in motions]), seed=0)
    assert motion.errors_mm(FEATURES, motions, book.decoded(motions, 1))["local_mm"] < 0.5
    assert [len(m) for m in book.decoded(walks(9), 2)] == [12]


def test_rows_of_a_quick_run() -> None:
    pytest.importorskip("pybullet_data")
    rows = list(motion.rows(Budget(is_quick=True)))
    assert len(rows) == 2 * 3 * 8
    ours = [row for row in rows if row["is_ours"]]
    assert [row["levels"] for row in ours] == 2 * list(range(1, 9))
    assert {row["split"] for row in ours} == {"val", "test"}
    assert ours[7]["bits_s"] == 540
    assert ours[7]["is_reached"] is not None
    assert all(row["local_mm"] > 0 and row["steps"] == 4 for row in ours)
    # Codebooks of mixtures are no bad start: even without training each level lowers the error by far.
    assert ours[7]["local_mm"] < 0.8 * ours[0]["local_mm"]
