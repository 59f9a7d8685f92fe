"""Iterative decoding of 256 image tokens: images per second, cost over the bare forwards, latency of one image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.on_gpu.setting import PEAK, Row, Setting, matrix_weights, rounds_of
from maskmm.decoding import Guidance, IterativeDecoder
from maskmm.model import MaskedTransformer
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

# (steps, guidance scale) -> images per second to reach
_GOALS = {(8, 1.0): 1000, (12, 1.0): 700, (12, 3.0): 350, (18, 3.0): 230}


class Fast:
    """What a decoder needs of a model, its forward compiled.

    Args:
        setting: of the run.
        model: in eval mode.
        options: of torch.compile.
    """

    training = False

    def __init__(self, setting: Setting, model: MaskedTransformer, **options: str) -> None:
        self.vocabulary = model.vocabulary
        self.forward_features = setting.compiled(model.forward_features, **options)
        self.logits, self.logits_of = model.logits, model.logits_of


@torch.no_grad()
def decoding(setting: Setting) -> Iterator[Row]:
    """Batches of 64 and more; the detokeniser is left out."""
    model, vocabulary = _model(setting)
    fast = Fast(setting, model)
    count = setting.pick(128, 2)
    sequence, is_unknown = drafts(setting, vocabulary, count)
    forward_s: dict[bool, float] = {}
    for (steps, scale), goal in _GOALS.items():
        if setting.is_tiny and steps > 8:
            continue
        decoder = IterativeDecoder(num_steps=steps, guidance=Guidance(scale))
        decode = lambda seed, d=decoder: d.decode(fast, sequence, is_unknown, seed)  # noqa: E731
        assert not bool((decode(0).ids == vocabulary.mask_id()).any()), "slots are left unknown"
        setting.seconds(decode, 1)
        seconds, best, worst = rounds_of(lambda c=decode: setting.seconds(c, 2), setting.pick(5, 1))
        is_guided = scale != 1.0
        if is_guided not in forward_s:
            forward_s[is_guided] = _forward_seconds(setting, fast, sequence, is_guided)
        flops = _flops_per_image(model, sequence, steps, is_guided)
        yield {
            "row": f"decoding, {steps} steps{', guided' if is_guided else ''}, batch {count}",
            "images_per_s": round(count / seconds, 1),
            "goal": goal,
            "range": [round(count / worst, 1), round(count / best, 1)],
            "utilisation": round(count * flops / seconds / PEAK, 4),
            "loop_over_forwards": round(seconds / (steps * forward_s[is_guided]), 3),
            "peak_gib": setting.peak_gib(),
        }


@torch.no_grad()
def latency(setting: Setting) -> Iterator[Row]:
    """One image at a time, 12 steps: the whole loop, and its forwards alone replayed as a CUDA graph."""
    model, vocabulary = _model(setting)
    sequence, is_unknown = drafts(setting, vocabulary, 1)
    steps = setting.pick(12, 2)
    decoder = IterativeDecoder(num_steps=steps)
    variants: dict[str, Fast | MaskedTransformer] = {"eager": model}
    if setting.is_compiled:
        variants["compiled"] = Fast(setting, model)
    if setting.is_compiled and setting.is_cuda:
        variants["compiled, CUDA graphs"] = Fast(setting, model, mode="reduce-overhead")
    for name, one in variants.items():
        decode = lambda seed, m=one: decoder.decode(m, sequence, is_unknown, seed)  # noqa: E731
        setting.seconds(decode, setting.pick(3, 1))
        median = rounds_of(lambda c=decode: setting.seconds(c, setting.pick(5, 1)), 5)[0]
        yield {
            "row": f"latency, {steps} steps, batch 1, {name}",
            "ms": round(1e3 * median, 3),
            "goal_ms": 8.0,
        }
    if setting.is_cuda:
        seconds = steps * _graph_seconds(setting, model, sequence)
        yield {"row": f"latency, {steps} bare forwards as a CUDA graph", "ms": round(1e3 * seconds, 3)}


def drafts(setting: Setting, vocabulary: Vocabulary, count: int) -> tuple[TokenSequence, Tensor]:
    """Samples of a known label and a wholly unknown image, and which slots are unknown."""
    size = setting.pick(16, 4)
    samples = [
        {"label": torch.tensor([i % 1000]), "image": torch.zeros(size, size, 1, dtype=torch.int64)}
        for i in range(count)
    ]
    sequence = pack(TokenBatch.from_samples(samples, vocabulary.modalities), vocabulary)
    is_unknown = (sequence.modality == vocabulary.index("image"))[:, None]
    return sequence.to(setting.device), is_unknown.to(setting.device)


def _model(setting: Setting) -> tuple[MaskedTransformer, Vocabulary]:
    size = setting.pick(16, 4)
    image = TokenSpec(setting.pick(8192, 64), axes=("y", "x"), grid=(size, size))
    vocabulary = Vocabulary([Modality("label", TokenSpec(1000)), Modality("image", image)])
    model = setting.base_model(vocabulary, longest=size * size + 2).eval().requires_grad_(False)
    return model.bfloat16(), vocabulary


def _forward_seconds(setting: Setting, fast: Fast, sequence: TokenSequence, is_guided: bool) -> float:
    """One bare forward with the logits of half of the image's slots, about what a step computes."""
    is_image = sequence.modality == fast.vocabulary.index("image")
    rows = is_image.nonzero().flatten()
    is_condition = sequence.modality == fast.vocabulary.index("label")
    guidance, progress = Guidance(3.0 if is_guided else 1.0), torch.ones(len(rows), device=rows.device)

    def forward(_: int) -> None:
        features = guidance.features(fast, sequence, rows, is_condition, progress)
        fast.logits(features[::2], "image", 0)

    setting.seconds(forward, 2)
    return rounds_of(lambda: setting.seconds(forward, 5), 5)[0]


def _flops_per_image(model: MaskedTransformer, sequence: TokenSequence, steps: int, is_guided: bool) -> float:
    """Trunk of every step; logits of the slots still masked, half of them on average."""
    config, rows = model.config, sequence.num_rows / sequence.num_samples
    passes = [rows, rows - 1] if is_guided else [rows]
    trunk = sum(2.0 * matrix_weights(model) * n + 4.0 * config.depth * config.width * n * n for n in passes)
    spec = model.vocabulary.spec("image")
    return steps * (trunk + 2.0 * spec.codebook_size * config.width * (rows - 2) * 0.5)


def _graph_seconds(setting: Setting, model: MaskedTransformer, sequence: TokenSequence) -> float:
    """Seconds of one forward, captured once and replayed."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    forward = setting.compiled(model.forward_features)
    with torch.cuda.stream(side):
        for _ in range(3):
            forward(sequence)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward(sequence)
    return rounds_of(lambda: setting.seconds(lambda _: graph.replay(), 24), 5)[0]
