import pytest
import torch

from maskmm.masking.whole_words import WholeWords
from tokenizers_vq.byte_text import ByteText
from tokenizers_vq.contract import Key, Modality, ModalitySource, TokenBatch, TokenSpec
from tokenizers_vq.text import WordPieceText
from tokenizers_vq.vectors import FrozenVectors

TEXTS = ["handwritten digits, a nine", "nine digit", "a"]


def test_groups_of_a_batch_are_those_of_the_texts(tmp_path):
    """Also after segments went, and with several modalities."""
    pieces, bytes_ = WordPieceText.from_texts(["a nine digit written by hand", "digits"], 30), ByteText()
    for name, tokenizer in (("pieces", pieces), ("bytes", bytes_)):
        tokenizer.save(tmp_path / name)
    modalities = [
        Modality("label", TokenSpec(4)),
        Modality("pieces", pieces.spec),
        Modality("bytes", bytes_.spec),
    ]
    samples = [
        {"label": torch.tensor([1]), "pieces": a, "bytes": b}
        for a, b in zip(pieces.encode(TEXTS), bytes_.encode(TEXTS))
    ]
    sources = [ModalitySource(name, str(tmp_path / name)) for name in ("pieces", "bytes")]
    batch = WholeWords(sources)(TokenBatch.from_samples(samples, modalities), Key(0))
    for name, tokenizer in (("pieces", pieces), ("bytes", bytes_)):
        assert torch.equal(batch.group[name], torch.cat(tokenizer.groups(TEXTS)))
    assert "label" not in batch.group
    kept = batch.keep_segments(batch.segments.sample != 1)
    assert torch.equal(kept.group["bytes"], torch.cat(bytes_.groups([TEXTS[0], TEXTS[2]])))
    again = WholeWords(sources)(kept, Key(0))
    assert torch.equal(again.group["bytes"], kept.group["bytes"])


def test_modalities_without_words_are_refused(tmp_path):
    FrozenVectors(3).save(tmp_path)
    with pytest.raises(ValueError, match="none of the modalities"):
        WholeWords([ModalitySource("vectors", str(tmp_path))])
