"""Two processes with halves of each batch: one codebook, one gradient, those of one process with the whole batch."""

import subprocess
import sys

import torch
from safetensors.torch import load_file

_SHARED = """
import torch
from tokenizers_vq.quantizers import (
    BitEntropy, CosineVQ, GradientVQ, GroupedQuantizer, LFQ, ResidualVQ, SoftEntropy
)

def quantizers(revive_below, init):
    options = {"revive_below": revive_below, "init": init}
    return {
        "residual": ResidualVQ(2, 8, 4, decay=0.8, **options),
        "gradient": GradientVQ(8, 4, regularisers=[SoftEntropy(0.5, 0.3)], **options),
        "cosine": CosineVQ(8, 4, decay=0.8, **options),
        "grouped": GroupedQuantizer([CosineVQ(8, 2, decay=0.5, seed=seed, **options) for seed in range(2)]),
        "lfq": LFQ(4, entropy=BitEntropy(1.0, 2.0, inverse_temperature=0.5)),
    }

def batch(step):
    return torch.randn(64, 4, generator=torch.Generator().manual_seed(step))

def learn(named, rows, average):
    state = {}
    for name, quantizer in named.items():
        quantizer.train()
        scale = torch.nn.Parameter(torch.ones(4))
        trained = [scale, *quantizer.parameters()]
        for step in range(5):
            quantizer(batch(step)[rows] * scale).loss.backward()
            for parameter in trained:
                average(parameter.grad)
                parameter.data -= 0.1 * parameter.grad
                parameter.grad = None
        values = {"scale": scale.data} | quantizer.state_dict()
        state |= {f"{name}.{key}": value.clone() for key, value in values.items()}
    return state
"""

_WORKER = (
    _SHARED
    + """
import sys
import torch.distributed as dist
from safetensors.torch import save_file

rank, folder, init, revive_below = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet_{init}", rank=rank, world_size=2)

def average(gradient):
    dist.all_reduce(gradient)
    gradient /= 2

state = learn(quantizers(revive_below, init), slice(rank, None, 2), average)
save_file(state, f"{folder}/{init}_{rank}.safetensors")
dist.destroy_process_group()
"""
)


def _run(folder, init, revive_below):
    command = [sys.executable, "-c", _WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(folder), init, str(revive_below)]) for rank in range(2)
    ]
    assert [worker.wait(timeout=600) for worker in workers] == [0, 0]
    return [load_file(folder / f"{init}_{rank}.safetensors") for rank in range(2)]


def test_ranks_keep_one_state(tmp_path):
    first, second = _run(tmp_path, "kmeans", 0.9)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_it_is_the_state_of_one_process_with_the_whole_batch(tmp_path):
    first, _ = _run(tmp_path, "normal", 0.0)
    names = {}
    exec(_SHARED, names)
    alone = names["learn"](names["quantizers"](0.0, "normal"), slice(None), lambda gradient: None)
    torch.testing.assert_close(first, alone, rtol=1e-4, atol=1e-5)
