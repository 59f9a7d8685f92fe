from pathlib import Path

import pytest

from datamodules.corpora.digits.corpus import DigitsCorpus


@pytest.fixture(scope="session")
def speech_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="session")
def corpus(speech_cache: Path) -> DigitsCorpus:
    return DigitsCorpus(seed=0, cache_dir=speech_cache)
