"""Two processes that see different halves of a batch keep the same codebook, that of one process with all of it."""

import subprocess
import sys

import torch
from safetensors.torch import load_file

from tokenizers_vq.quantizers import ResidualVQ

_WORKER = """
import sys
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from tokenizers_vq.quantizers import ResidualVQ

rank, folder, init, revive_below = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet_{init}", rank=rank, world_size=2)
quantizer = ResidualVQ(2, 8, 4, decay=0.8, init=init, revive_below=revive_below).train()
for step in range(5):
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(step))
    quantizer(x[rank::2])
save_file(quantizer.state_dict(), f"{folder}/{init}_{rank}.safetensors")
dist.destroy_process_group()
"""


def _run(folder, init, revive_below):
    command = [sys.executable, "-c", _WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(folder), init, str(revive_below)]) for rank in range(2)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    return [load_file(folder / f"{init}_{rank}.safetensors") for rank in range(2)]


def test_ranks_keep_one_codebook(tmp_path):
    first, second = _run(tmp_path, "kmeans", 0.5)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_is_the_codebook_of_one_process_with_the_whole_batch(tmp_path):
    first, _ = _run(tmp_path, "normal", 0.0)
    quantizer = ResidualVQ(2, 8, 4, decay=0.8, init="normal", revive_below=0.0).train()
    for step in range(5):
        quantizer(torch.randn(64, 4, generator=torch.Generator().manual_seed(step)))
    torch.testing.assert_close(first, quantizer.state_dict())
