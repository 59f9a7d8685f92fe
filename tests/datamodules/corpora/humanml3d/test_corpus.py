import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.corpora.humanml3d.captions import Caption, read_captions
from datamodules.corpora.humanml3d.corpus import HumanML3DCorpus

LENGTHS = {"000001": 60, "M000001": 60, "000002": 120, "000003": 30, "000004": 300, "000005": 45}
SPLITS = {"train": ["000001", "M000001", "000002", "000004"], "val": ["000003"], "test": ["000005"]}


def values(name: str, length: int) -> np.ndarray:
    return np.random.default_rng(len(name) + length).normal(size=(length, 263)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "new_joint_vecs").mkdir()
    (tmp_path / "texts").mkdir()
    for name, length in LENGTHS.items():
        np.save(tmp_path / "new_joint_vecs" / f"{name}.npy", values(name, length))
        (tmp_path / "texts" / f"{name}.txt").write_text(f"motion {name}#motion/NOUN#0.0#0.0\n")
    for split, names in SPLITS.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(names) + "\n")
    np.save(tmp_path / "Mean.npy", np.arange(263, dtype=np.float64))
    np.save(tmp_path / "Std.npy", np.full(263, 2.0))
    return tmp_path


def test_motions_and_statistics_are_those_of_the_files(folder: Path) -> None:
    corpus = HumanML3DCorpus(folder)
    assert corpus.names("train") == SPLITS["train"]
    assert torch.equal(corpus.features("000002"), torch.from_numpy(values("000002", 120)))
    assert corpus.mean.tolist() == list(range(263))
    assert corpus.mean.dtype == torch.float32
    assert corpus.deviation.tolist() == [2.0] * 263


def test_too_short_and_too_long_motions_are_left_out(folder: Path) -> None:
    assert [len(x) for x in HumanML3DCorpus(folder).motions("train")] == [60, 60, 120]
    assert [len(x) for x in HumanML3DCorpus(folder, longest=300).motions("train")] == [60, 60, 120, 300]
    with pytest.raises(ValueError, match="no motion of val has 40 to 199 poses"):
        HumanML3DCorpus(folder).motions("val")


def test_captions_of_a_part_have_its_poses(folder: Path) -> None:
    (folder / "texts" / "000002.txt").write_text(
        "walks#walk/VERB#0.0#0.0\njumps high#jump/VERB high/ADJ#1.5#4.0\nwalks on#walk/VERB#nan#nan\n"
        "stops#stop/VERB#5.0#5.5\nlies down#lie/VERB#3.0#60.0\n"
    )
    parts = [sample for sample in HumanML3DCorpus(folder).samples("train") if sample.name == "000002"]
    assert [(p.start, len(p.features), p.captions) for p in parts] == [
        (0, 120, ("walks", "walks on")),
        (30, 50, ("jumps high",)),
        (60, 60, ("lies down",)),
    ]
    assert torch.equal(parts[1].features, torch.from_numpy(values("000002", 120))[30:80])


def test_caption_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "a man kicks#a/DET man/NOUN kick/VERB#0.0#0.0\n\nplain\ntagged#tagged/ADJ\nlater#x#2.0#3.5\n"
    )
    assert read_captions(path) == [
        Caption("a man kicks"),
        Caption("plain"),
        Caption("tagged"),
        Caption("later", 2.0, 3.5),
    ]


def test_malformed_captions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for line, message in [
        ("#tags#0#0", "no text before its first"),
        ("text#tags#0", "has 3 fields"),
        ("text#tags#0#0#0", "has 5 fields"),
        ("text#tags#one#2", "'one' is no number"),
        ("text#tags#0#inf", "finite"),
        ("text#tags#3.0#2.0", "from 3 to 2 s"),
        ("text#tags#-1#2.0", "from -1 to 2 s"),
    ]:
        path.write_text(f"fine\n{line}\n")
        with pytest.raises(ValueError, match=message) as error:
            read_captions(path)
        assert "line 2" in str(error.value)
    path.write_text("\n\n")
    with pytest.raises(ValueError, match="no caption"):
        read_captions(path)
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="no readable caption file"):
        read_captions(path)
    with pytest.raises(ValueError, match="no readable caption file"):
        read_captions(tmp_path / "b.txt")


def test_missing_motions_are_named_or_allowed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "new_joint_vecs" / "M000001.npy").unlink()
    with pytest.raises(ValueError, match=r"1 of 4 motions of train .*M000001.*max_missing=1"):
        HumanML3DCorpus(folder).names("train")
    with caplog.at_level(logging.WARNING):
        assert HumanML3DCorpus(folder, max_missing=1).names("train") == ["000001", "000002", "000004"]
    assert "M000001" in caplog.text


def test_wrong_files_are_named(folder: Path) -> None:
    corpus, path = HumanML3DCorpus(folder), folder / "new_joint_vecs" / "000001.npy"
    broken = values("000001", 60)
    broken[7, 3] = np.nan
    for array, message in [
        (np.zeros((60, 251), np.float32), r"\(60, 251\), expected \(T, 263\); KIT-ML"),
        (np.zeros(263, np.float32), r"expected \(T, 263\)"),
        (np.zeros((60, 263), np.int64), "int64, expected floats"),
        (np.zeros((0, 263), np.float32), "holds 0 numbers"),
        (broken, r"rows \[7\]"),
        (np.array([["a"] * 263]), "dtype <U1"),
    ]:
        np.save(path, array)
        with pytest.raises(ValueError, match=message):
            corpus.features("000001")
    np.save(path, np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"no readable \.npy file"):
        corpus.features("000001")
    path.write_bytes(b"not an array")
    with pytest.raises(ValueError, match=r"no readable \.npy file"):
        corpus.features("000001")


def test_wrong_statistics_are_named(folder: Path) -> None:
    np.save(folder / "Std.npy", np.zeros(263))
    with pytest.raises(ValueError, match="has 0 at 0, expected positive"):
        _ = HumanML3DCorpus(folder).deviation
    (folder / "Mean.npy").unlink()
    with pytest.raises(ValueError, match=r"Mean\.npy is no readable"):
        _ = HumanML3DCorpus(folder).mean


def test_wrong_lists_are_named(folder: Path) -> None:
    corpus, path = HumanML3DCorpus(folder), folder / "train.txt"
    for text, message in [
        ("", "lists no motion"),
        ("000001\n000001", "'000001' twice"),
        ("../secret", "plain names"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            corpus.names("train")
    path.unlink()
    with pytest.raises(ValueError, match="no readable list"):
        corpus.names("train")
    with pytest.raises(ValueError, match="split 'all'"):
        corpus.names("all")


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder; expected HumanML3D"):
        HumanML3DCorpus(tmp_path / "none")
    with pytest.raises(ValueError, match="shortest=50, longest=40"):
        HumanML3DCorpus(tmp_path, shortest=50, longest=40)
