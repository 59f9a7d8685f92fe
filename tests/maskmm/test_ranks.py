"""Two processes that share every batch train the model that one process trains on all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.maskmm.training import write_toy_data

ROOT = Path(__file__).parents[2]
# Lightning starts the second process by running the script again.
_SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, {root!r})
from maskmm.masking.any_to_any import AnyToAnyMasking
from maskmm.nn.config import ResidualConfig
from maskmm.packing import Packer
from tests.maskmm.training import TINY, build_data, build_module, build_trainer
from tokenizers_vq.contract import ModalitySource, TokenBudget

folder, world_size, batches_by = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
names = ("image", "text", "speech")
sources = [ModalitySource(name, str(folder / "tokenizers" / name)) for name in names]
module = build_module(sources, transformer=replace(TINY, depth=2, residual=ResidualConfig(dropout=0.2, drop_path=0.3)))
strategy, num_parts, batches = "ddp" if world_size > 1 else "auto", 1, {{"batch_size": 7}}
if batches_by == "packs":
    packer = Packer(sources, AnyToAnyMasking(), budget=TokenBudget(64, 32))
    num_parts, batches = 2 // world_size, {{"batch_size": 2, "buffer_size": 40, "collate": packer}}
trainer = build_trainer(
    folder, devices=world_size, strategy=strategy, max_steps=4, log_every_n_steps=1, accumulate_grad_batches=num_parts,
    val_check_interval=100, num_sanity_val_steps=0,
)
trainer.fit(module, build_data(folder, sources, num_steps=4, **batches))
if trainer.is_global_zero:
    loss = {{"train/loss": trainer.logged_metrics["train/loss"].float().reshape(1)}}
    state = {{name: value.contiguous() for name, value in module.state_dict().items()}}
    save_file(state | loss, folder / f"world_{{world_size}}.safetensors")
"""


def run(folder: Path, world_size: int, batches_by: str) -> dict[str, torch.Tensor]:
    script = folder / "train.py"
    script.write_text(_SCRIPT.format(root=str(ROOT)))
    command = [sys.executable, str(script), str(folder), str(world_size), batches_by]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return load_file(folder / f"world_{world_size}.safetensors")


@pytest.mark.parametrize("batches_by", ["samples", "packs"])
def test_sharding_does_not_change_the_training(tmp_path: Path, batches_by: str) -> None:
    """Seven samples a step: the shares are uneven, and so are the counts of targets. Or two packs of a token budget,
    which one process accumulates."""
    write_toy_data(tmp_path)
    one, two = run(tmp_path, 1, batches_by), run(tmp_path, 2, batches_by)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=2e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
