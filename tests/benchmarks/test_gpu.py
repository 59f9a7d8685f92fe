"""The GPU script at toy size on the CPU: every section runs to its end and its checks pass."""

import json
import subprocess
import sys
from importlib import import_module

import pytest
import torch

from benchmarks import gpu, gpu_table
from benchmarks.gpu import _SECTIONS
from benchmarks.on_gpu.kernels import _group
from benchmarks.on_gpu.setting import Setting


@pytest.mark.parametrize("section", list(_SECTIONS))
def test_a_section_gives_named_rows(section):
    run = getattr(import_module(f"benchmarks.on_gpu.{_SECTIONS[section][0]}"), section)
    rows = list(run(Setting(torch.device("cpu"), is_tiny=True, compilation="none")))
    assert rows
    assert all(row["row"] for row in rows)


def test_kernels_are_grouped_by_name():
    flash = "void pytorch_flash::flash_fwd_kernel<Flash_fwd_kernel_traits<64, 128, cutlass::bfloat16_t>>"
    assert _group(flash) == "attention"
    assert _group("nvjet_tst_128x256_64x4_2x1_v_bz_TNT") == "product"
    assert _group("triton_red_fused_add_rms_norm_0") == "other"


def test_the_table_lists_conditions_figures_and_kernels():
    rows = [
        {"row": "environment", "date": "today", "torch": "2"},
        {"row": "training, T=32", "tokens_per_s": 7, "peak_gib": None, "at_s": 1.0},
        {
            "row": "kernel, training, T=32", "kernel": "gemm", "group": "product", "share": 0.5, "ms_per_step": 1.0,
            "calls_per_step": 2.0,
        },
        {"row": "section padded", "failed": "status 1: out of memory"},
    ]  # fmt: skip
    table = gpu_table.render(rows)
    assert table.startswith("* date: today\n* torch: 2\n")
    assert "| training, T=32 | tokens_per_s 7 |" in table
    assert "| 0.5 | 1.0 | 2.0 | product | gemm |" in table
    assert "out of memory" in table


def run_main(monkeypatch, out, *options):
    """Exit status and rows of the command line, at toy size."""
    command = ["gpu", "--tiny", "--compilation", "none", "--out", str(out), *options]
    monkeypatch.setattr(sys, "argv", command)
    return gpu.main(), [json.loads(line) for line in out.read_text().splitlines()]


def test_a_section_that_fails_costs_itself_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(gpu._SECTIONS, "broken", ("no_such_module", 60))
    # The child knows nothing of it, and ends with an error.
    status, rows = run_main(monkeypatch, tmp_path / "rows.jsonl", "--only", "broken", "ceilings")
    assert status == 1
    named = {row["row"]: row for row in rows}
    assert "broken" in named["section broken"]["failed"]
    assert "ceiling, copy" in named and named["end"]["failed"] == ["broken (none)"]


def test_a_section_out_of_time_keeps_its_rows_and_the_next_is_run(tmp_path, monkeypatch):
    def late(command, timeout, **options):
        section = command[command.index("--section") + 1]
        if section == "ceilings":
            gpu._write(tmp_path / "rows.jsonl", {"row": "early"})
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(gpu.subprocess, "run", late)
    monkeypatch.setattr(gpu, "_environment", lambda options: {})
    status, rows = run_main(monkeypatch, tmp_path / "rows.jsonl", "--only", "ceilings", "lookup")
    assert status == 1
    assert [row["row"] for row in rows] == ["environment", "early", "section ceilings", "end"]
    assert rows[2]["failed"] == "out of time" and rows[3]["failed"] == ["ceilings (none)"]


def test_sections_beyond_the_time_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "_environment", lambda options: {})
    status, rows = run_main(monkeypatch, tmp_path / "rows.jsonl", "--only", "lookup", "--seconds", "5")
    assert (status, rows[1]["row"]) == (0, "section lookup") and "left" in rows[1]["skipped"]


def test_without_a_gpu_only_toy_sizes_run(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--section", "lookup", "--out", str(tmp_path / "rows.jsonl")])
    with pytest.raises(SystemExit, match="--tiny"):
        gpu.main()


@pytest.mark.parametrize(("told", "mhz"), [("1980\n1200\n", 1980), ("[N/A]\n", None), ("", None)])
def test_the_clock_is_read_while_calls_are_under_way(told, mhz, monkeypatch):
    order = []
    setting = Setting(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("wait"))
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")

    def query(command, **options):
        order.append("query")
        return subprocess.CompletedProcess(command, 0, stdout=told)

    monkeypatch.setattr(subprocess, "run", query)
    assert setting.busy_mhz(order.append, 2) == mhz
    assert order == [0, 1, "query", "wait"]
    assert Setting(torch.device("cpu")).busy_mhz(order.append, 2) is None
