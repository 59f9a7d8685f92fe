"""BEATs from iteration to iteration: a model of random codes teaches the tokenizer of the next model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from maskmm.checkpoint import save_checkpoint
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, EmbeddingConfig, FeedForwardConfig
from maskmm.pipeline import Pipeline
from maskmm.pipeline.teacher import MaskedTeacher
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.audio.acoustic import RandomAcoustic
from tokenizers_vq.audio.distilled import DistilledAcoustic
from tokenizers_vq.audio.fbank_patches import FbankPatches
from tokenizers_vq.contract import Modality
from tokenizers_vq.quantizers import CosineVQ

CLIPS = [torch.rand(n, generator=torch.Generator().manual_seed(n)) - 0.5 for n in (2800, 5600, 6400)]


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    torch.manual_seed(0)
    tokenizer = RandomAcoustic(FbankPatches(max_seconds=0.4), codebook_size=16, codebook_dim=4).eval()
    modalities = with_length_modalities([Modality("audio", tokenizer.spec)])
    config = TransformerConfig(
        width=16, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=16), init_std=0.4,
        input_widths={"audio": 256}, embedding=EmbeddingConfig(has_codes_beside_inputs=False),
    )  # fmt: skip
    return Pipeline(MaskedTransformer(Vocabulary(modalities), config).eval(), {"audio": tokenizer})


def test_a_masked_model_teaches_the_next_tokenizer(pipeline: Pipeline, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model", pipeline.model, pipeline.tokenizers)
    teacher = MaskedTeacher(tmp_path / "model")
    features = teacher(CLIPS)
    assert [x.shape for x in features] == [
        (len(codes), 8, 16) for codes in pipeline.encode({"audio": CLIPS})["audio"]
    ]
    assert torch.equal(features[2], MaskedTeacher(pipeline, batch_size=1)(CLIPS)[2])
    pupil = DistilledAcoustic(
        CosineVQ(8, 4), teacher, 16, FbankPatches(max_seconds=0.4), width=16, depth=1, estimator_depth=1,
        num_heads=2, position_kernel=4, position_groups=2,
    ).train()  # fmt: skip
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in pupil.parameters() if p.requires_grad], lr=3e-3)
    distances = []
    for _ in range(10):
        out = pupil(CLIPS)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        distances.append(out.parts["reconstruction"].item())
    assert distances[-1] < distances[0]
    torch.testing.assert_close(out.target[2], features[2])
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_the_teacher_reads_patches_and_no_codes(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    before = MaskedTeacher(pipeline)(CLIPS)
    codes = pipeline.encode({"audio": CLIPS})["audio"]
    others = [(code + 1) % 16 for code in codes]
    monkeypatch.setattr(type(pipeline.tokenizers["audio"]), "encode", lambda *_: others)
    assert all(torch.equal(a, b) for a, b in zip(before, MaskedTeacher(pipeline)(CLIPS)))


def test_modalities_that_do_not_fit_are_refused(pipeline: Pipeline) -> None:
    with pytest.raises(ValueError, match="expected one of the model's"):
        MaskedTeacher(pipeline, "speech")
    with pytest.raises(ValueError, match="expected"):
        MaskedTeacher(pipeline)([torch.zeros(100)])
