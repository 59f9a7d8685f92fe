"""OpenMP settings: chosen once, never over the user's."""

from __future__ import annotations

import os

import pytest

from maskmm.cli.threads import MOST_THREADS, settle_threads


def test_threads_are_settled_but_not_over_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {})
    settle_threads()
    assert os.environ["GOMP_SPINCOUNT"] == "0"
    assert 1 <= int(os.environ["OMP_NUM_THREADS"]) <= MOST_THREADS
    monkeypatch.setattr(os, "environ", {})
    settle_threads(1)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "7"})
    settle_threads()
    assert os.environ["OMP_NUM_THREADS"] == "7"
