"""Names that are no folder: fetched from the hub, or one clear error; no test reaches a network."""

from __future__ import annotations

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from maskmm.checkpoint import hub, resolve_folder


def test_a_folder_is_itself(tmp_path) -> None:
    assert resolve_folder(tmp_path) == tmp_path


def test_offline_the_error_says_how_to_go_on(monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="'someone/digits-test-model' is no folder.*local checkpoint folder"):
        resolve_folder("someone/digits-test-model")


def test_a_hub_id_is_fetched(monkeypatch, tmp_path) -> None:
    asked = []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert resolve_folder("user/model") == tmp_path
    assert asked == [("user/model", ["config.json", "models/**", "tokenizers/**"])]


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "a/b/c", "missing/"])
def test_names_that_cannot_be_hub_ids_are_missing_folders(name, monkeypatch) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda *a, **k: pytest.fail("asked the hub"))
    with pytest.raises(ValueError, match="does not exist"):
        resolve_folder(name)


def test_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match=r"last\.ckpt is a file.*maskmm export"):
        resolve_folder(str(tmp_path / "last.ckpt"))


def test_errors_of_the_hub_become_one_line(monkeypatch) -> None:
    def snapshot(*args: object, **kwargs: object) -> str:
        raise LocalEntryNotFoundError("cannot reach it\nlong story")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    with pytest.raises(ValueError) as error:
        resolve_folder("user/model")
    assert "\n" not in str(error.value) and "cannot reach it" in str(error.value)
