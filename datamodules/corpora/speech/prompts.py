"""Asterisk's English prompts: which there are and what they say."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/usr/share")
"""Where Debian's packages put sounds and transcripts."""

SAMPLE_RATE = 8000
INSTALL_HINT = "apt-get install asterisk-core-sounds-en-wav asterisk-core-sounds-en"

_SOUNDS = Path("asterisk/sounds/en_US_f_Allison")
_TRANSCRIPT = Path("doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_SIGNS = {"#": " pound ", "*": " star "}


class Prompt(NamedTuple):
    """One clip.

    Attributes:
        key: its name, e.g. "digits/7".
        path: WAV file, 8 kHz.
        text: the transcript, without remarks in brackets.
        words: the same as a recogniser would write it: lower case, no punctuation, single digits as words.
    """

    key: str
    path: Path
    text: str
    words: str


def load_prompts(root: Path = ROOT) -> list[Prompt]:
    """All prompts that are speech, by key; tones, silences and other noises are left out.

    Args:
        root: folder that holds asterisk/ and doc/.

    Raises:
        ValueError: sounds or transcript are not there, or agree in no key.
    """
    sounds, transcript = root / _SOUNDS, root / _TRANSCRIPT
    if not sounds.is_dir() or not transcript.is_file():
        missing = transcript if sounds.is_dir() else sounds
        hint = ""
        if missing == transcript:
            hint = f" (images without documentation need -o Dpkg::Options::=--path-include={transcript.parent}/*)"
        raise ValueError(
            f"the speech corpus needs {missing}, which Debian's packages bring: {INSTALL_HINT}{hint}; "
            "elsewhere unpack them and give the folder that holds asterisk/ and doc/"
        )
    prompts = []
    for line in _lines(transcript):
        key, _, told = line.partition(":")
        path, text = sounds / f"{key.strip()}.wav", without_remarks(told)
        if not line.startswith(";") and text and path.is_file():
            prompts.append(Prompt(key.strip(), path, text, spoken_words(text)))
    if not prompts:
        raise ValueError(
            f"{transcript} names no sound of {sounds}; expected lines such as 'goodbye: Goodbye.'"
        )
    return sorted(prompts)


def _lines(transcript: Path) -> list[str]:
    try:
        return gzip.decompress(transcript.read_bytes()).decode("utf-8").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{transcript} is no readable transcript ({error}); expected gzipped UTF-8 text"
        ) from error


def without_remarks(text: str) -> str:
    """The text without what stands in brackets; empty where a sound is nothing but a noise in brackets."""
    return " ".join(re.sub(r"\([^)]*\)|\[[^]]*\]|<[^>]*>", " ", text).split())


def spoken_words(text: str) -> str:
    """Lower case letters, apostrophes and numbers; "1" as "one", "#" as "pound", "*" as "star"."""
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    words = re.findall(r"[a-z0-9']+", text.lower())
    spelled = [_DIGITS[int(word)] if re.fullmatch(r"\d", word) else word.strip("'") for word in words]
    return " ".join(word for word in spelled if word)
