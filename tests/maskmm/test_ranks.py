"""Two processes that share every batch train the model that one process trains on all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
from tests.maskmm.training import TINY, build_data, build_module, build_trainer
from tokenizers_vq.contract import ModalitySource

folder, world_size = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
names = ("image", "text", "speech")
sources = [ModalitySource(name, str(folder / "tokenizers" / name)) for name in names]
module = build_module(sources, transformer=replace(TINY, dropout=0.0))
strategy = "ddp" if world_size > 1 else "auto"
trainer = build_trainer(
    folder, devices=world_size, strategy=strategy, max_steps=4, log_every_n_steps=1,
    val_check_interval=100, num_sanity_val_steps=0,
)
trainer.fit(module, build_data(folder, sources, batch_size=7, num_steps=4))
if trainer.is_global_zero:
    loss = {{"train/loss": trainer.logged_metrics["train/loss"].float().reshape(1)}}
    state = {{name: value.contiguous() for name, value in module.state_dict().items()}}
    save_file(state | loss, folder / f"world_{{world_size}}.safetensors")
"""


def run(folder: Path, world_size: int) -> dict[str, torch.Tensor]:
    script = folder / "train.py"
    script.write_text(_SCRIPT.format(root=str(ROOT)))
    command = [sys.executable, str(script), str(folder), str(world_size)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return load_file(folder / f"world_{world_size}.safetensors")


def test_sharding_does_not_change_the_training(tmp_path: Path) -> None:
    """Seven samples a step: the shares are uneven, and so are the counts of targets."""
    write_toy_data(tmp_path)
    one, two = run(tmp_path, 1), run(tmp_path, 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=2e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
