"""The GPU script at toy size on the CPU: every section runs to its end and its checks pass."""

from importlib import import_module

import pytest
import torch

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
