import gzip
from pathlib import Path

import pytest
import soundfile
import torch

from datamodules.corpora.speech.corpus import SpeechCorpus
from datamodules.corpora.speech.export import prompt_samples, write_prompt_shards
from datamodules.corpora.speech.prompts import ROOT, load_prompts, spoken_words, without_remarks
from datamodules.corpora.splits import SPLITS
from datamodules.shards import read_shards

TEXTS = {f"digits/{i}": word for i, word in enumerate(("zero", "one", "two", "three", "four", "five", "six"))}
TEXTS |= {
    "goodbye": "Goodbye.",
    "vm-goodbye": "Goodbye",
    "for-help": "press 1, then #",
    "letters/at": "at [@]",
}
NOISES = {"beep": "[this is a beep]", "silence/1": "(1 second of silence)", "join": "<beep ascending>"}

needs_packages = pytest.mark.skipif(
    not (ROOT / "doc/asterisk-core-sounds-en/core-sounds-en.txt.gz").is_file(),
    reason="the Debian packages of sounds are not installed",
)


def write_transcript(root: Path, text: str) -> None:
    path = root / "doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small copy of what the packages lay down."""
    lines = [f"{key}: {text}" for key, text in (TEXTS | NOISES).items()]
    write_transcript(tmp_path, "; Sounds in English\n\n" + "\n".join([*lines, "gone: No such file."]))
    for i, key in enumerate(TEXTS | NOISES):
        path = tmp_path / f"asterisk/sounds/en_US_f_Allison/{key}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = 0.3 * torch.sin(torch.arange(800 + 80 * i) * 0.3)
        soundfile.write(path, tone.numpy(), 8000, subtype="PCM_16")
    return tmp_path


def test_transcripts_are_cleaned() -> None:
    assert without_remarks("IAX (note: does not say 2)") == "IAX" and without_remarks("[tones]") == ""
    assert (
        spoken_words("Press 1 now, or # or * -- don't wait!") == "press one now or pound or star don't wait"
    )
    assert spoken_words("Dial 500.") == "dial 500"


def test_noises_are_left_out(root: Path) -> None:
    prompts = load_prompts(root)
    assert [prompt.key for prompt in prompts] == sorted(TEXTS)
    assert {prompt.key: prompt.text for prompt in prompts}["letters/at"] == "at"


def test_what_is_said_is_in_one_split(root: Path) -> None:
    corpus = SpeechCorpus(seed=1, root=root)
    sets = {split: corpus.speech(split) for split in SPLITS}
    words = [{prompt.words for prompt in part.prompts} for part in sets.values()]
    assert not (words[0] & words[1] or words[0] & words[2] or words[1] & words[2])
    ids = torch.cat([part.item_ids for part in sets.values()])
    assert torch.equal(ids.sort().values, torch.arange(len(TEXTS)))
    assert torch.equal(SpeechCorpus(seed=1, root=root).speech("test").item_ids, sets["test"].item_ids)
    assert all(len(part.waveforms) == len(part.texts) == len(part.item_ids) for part in sets.values())


def test_resampled_only_when_asked(root: Path) -> None:
    plain = SpeechCorpus(root=root).speech("train").waveforms[0]
    double = SpeechCorpus(root=root, sample_rate=16_000).speech("train").waveforms[0]
    assert plain.dtype == torch.float32 and len(double) == 2 * len(plain)
    assert torch.allclose(double[200:-200:2], plain[100:-100], atol=0.02)


def test_to_shards_and_back(root: Path, tmp_path: Path) -> None:
    corpus = SpeechCorpus(root=root)
    paths = write_prompt_shards(corpus, tmp_path / "out", "train")
    for one, other in zip(read_shards(paths, 8000), prompt_samples(corpus, "train"), strict=True):
        assert one.metadata == other.metadata and one.media["text"] == other.media["text"]
        assert torch.allclose(one.media["speech"][1], other.media["speech"][1], atol=1e-4)


def test_missing_packages_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="apt-get install asterisk-core-sounds-en-wav asterisk-core-sounds-en"
    ):
        SpeechCorpus(root=tmp_path / "nothing").speech("train")
    with pytest.raises(ValueError, match="split 'dev'"):
        SpeechCorpus(root=root).speech("dev")
    write_transcript(root, "other: Other.")
    with pytest.raises(ValueError, match="names no sound"):
        load_prompts(root)
    transcript = root / "doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    transcript.write_bytes(transcript.read_bytes()[:-12])
    with pytest.raises(ValueError, match="no readable transcript"):
        load_prompts(root)
    transcript.unlink()
    with pytest.raises(ValueError, match="path-include"):
        load_prompts(root)


def test_another_rate_is_refused(root: Path) -> None:
    path = root / "asterisk/sounds/en_US_f_Allison/goodbye.wav"
    soundfile.write(path, torch.zeros(100).numpy(), 16_000)
    with pytest.raises(
        ValueError, match=r"goodbye.wav: \(100, 1\) samples at 16000 Hz, expected \(T, 1\) at 8000"
    ):
        for split in SPLITS:
            SpeechCorpus(root=root).speech(split)
    with pytest.raises(ValueError, match="sample_rate=0"):
        SpeechCorpus(sample_rate=0)


@needs_packages
def test_the_real_prompts() -> None:
    corpus = SpeechCorpus(seed=0)
    assert len(corpus.prompts) == 551
    by_key = {prompt.key: prompt for prompt in corpus.prompts}
    assert [by_key[f"digits/{i}"].words for i in (0, 7, 20)] == ["zero", "seven", "twenty"]
    sets = [corpus.speech(split) for split in SPLITS]
    assert sum(len(part.prompts) for part in sets) == 551
    seconds = sum(len(waveform) for part in sets for waveform in part.waveforms) / 8000
    assert 23 < seconds / 60 < 25
    assert all(0.01 < float(waveform.abs().max()) <= 1.0 for part in sets for waveform in part.waveforms)
