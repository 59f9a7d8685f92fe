"""The family written out: one sample, one head, one pair at a time, in float64, reading a model's weights by name."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskmm.model import MaskedTransformer
from maskmm.nn.light_decoder import LightDecoder
from maskmm.sequence import TokenSequence
from tests.reference.naive_positions import bias_of_pair, convolved, places, turn


def naive_layers(model: MaskedTransformer, sequence: TokenSequence) -> list[Tensor]:
    """Outputs of `forward_intermediates` for all layers 0 .. depth, embedding norm and all; nothing dropped."""
    embedded = model.embedding(sequence)  # has a naive twin of its own
    per_sample = []
    for sample in range(sequence.num_samples):
        rows = list(range(int(sequence.cu_seqlens[sample]), int(sequence.cu_seqlens[sample + 1])))
        if rows:
            per_sample.append(_layers_of_sample(model, sequence, embedded[rows], rows))
    return [torch.cat(layer) for layer in zip(*per_sample)]


def _layers_of_sample(
    model: MaskedTransformer, sequence: TokenSequence, x: Tensor, rows: list[int]
) -> list[Tensor]:
    config = model.config
    if config.positions.conv_kernel is not None:
        x = x + convolved(model, x)
    if config.norm.has_embedding_norm:
        x = norm(model, "embedding_norm", x)
    return through_blocks(model, sequence, x, rows)


def through_blocks(
    model: MaskedTransformer | LightDecoder, sequence: TokenSequence, x: Tensor, rows: list[int]
) -> list[Tensor]:
    """Input and output of every block for some rows of one sample, the last after the last norm."""
    config = model.config
    raw, read = [x], x
    outputs = [x]
    for layer in range(config.depth):
        raw.append(_block(model, sequence, layer, read, rows))
        read = raw[-1]
        if config.residual.has_depth_average:
            weights = model.get_parameter(f"depth_average.weights.{layer}")
            read = sum((w * out for w, out in zip(weights, raw)), torch.zeros_like(x))
        outputs.append(read)
    if config.norm.has_final:
        outputs[-1] = norm(model, "norm", outputs[-1])
    return outputs


def _block(
    model: MaskedTransformer | LightDecoder, sequence: TokenSequence, layer: int, x: Tensor, rows: list[int]
) -> Tensor:
    config, name = model.config, f"blocks.{layer}"

    def attention(y: Tensor) -> Tensor:
        return _attention(model, sequence, layer, y, rows) * _scale(model, f"{name}.attention_residual.scale")

    def ffn(y: Tensor) -> Tensor:
        return _feed_forward(model, f"{name}.ffn", y) * _scale(model, f"{name}.ffn_residual.scale")

    if config.residual.is_parallel:
        normed = norm(model, f"{name}.norm", x)
        return x + attention(normed) + ffn(normed)
    if config.norm.placement == "pre":
        is_skipped = config.norm.is_first_skipped and layer == 0
        x = x + attention(x if is_skipped else norm(model, f"{name}.attention_norm", x))
        return x + ffn(norm(model, f"{name}.ffn_norm", x))
    alpha = (2 * config.depth) ** 0.25 if config.norm.placement == "deepnorm" else 1.0
    x = norm(model, f"{name}.attention_norm", alpha * x + attention(x))
    return norm(model, f"{name}.ffn_norm", alpha * x + ffn(x))


def _scale(model: MaskedTransformer | LightDecoder, name: str) -> Tensor:
    parameters = dict(model.named_parameters())
    return parameters.get(name, torch.ones((), dtype=torch.float64))


def norm(model: MaskedTransformer | LightDecoder, name: str, x: Tensor) -> Tensor:
    """RMS or layer norm with the named gain, and its bias where there is one."""
    gain, parameters, eps = (
        model.get_parameter(f"{name}.weight"),
        dict(model.named_parameters()),
        model.config.norm.eps,
    )
    if model.config.norm.kind == "rms":
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * gain
    centred = x - x.mean(-1, keepdim=True)
    out = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * gain
    return out + parameters[f"{name}.bias"] if f"{name}.bias" in parameters else out


def _linear(model: MaskedTransformer | LightDecoder, name: str, x: Tensor) -> Tensor:
    out = x @ model.get_parameter(f"{name}.weight").T
    parameters = dict(model.named_parameters())
    return out + parameters[f"{name}.bias"] if f"{name}.bias" in parameters else out


def activation(kind: str, x: Tensor) -> Tensor:
    """By formula."""
    if kind in ("gelu", "geglu"):
        return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    if kind in ("gelu_tanh", "geglu_tanh"):
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    if kind in ("silu", "swiglu"):
        return x / (1 + torch.exp(-x))
    return x.clamp(min=0)


def _feed_forward(model: MaskedTransformer | LightDecoder, name: str, x: Tensor) -> Tensor:
    kind, hidden = model.config.ffn.kind, model.config.ffn.width
    if kind.endswith("glu") or kind == "geglu_tanh":
        both = _linear(model, f"{name}.gate_up", x)
        return _linear(model, f"{name}.down", activation(kind, both[:, :hidden]) * both[:, hidden:])
    return _linear(model, f"{name}.down", activation(kind, _linear(model, f"{name}.up", x)))


def _attention(
    model: MaskedTransformer | LightDecoder, sequence: TokenSequence, layer: int, x: Tensor, rows: list[int]
) -> Tensor:
    config, name = model.config, f"blocks.{layer}.attention"
    options, positions, width = config.attention, config.positions, config.head_width
    num_heads, kv_heads = options.num_heads, options.kv_heads
    fused = _linear(model, f"{name}.qkv", x)
    if options.qkv_bias == "qv":
        q_bias, v_bias = model.get_parameter(f"{name}.qkv.q_bias"), model.get_parameter(f"{name}.qkv.v_bias")
        fused = fused + torch.cat([q_bias, torch.zeros_like(v_bias), v_bias])
    heads = fused.view(len(rows), -1, width)
    window = options.window
    if options.global_every is not None and layer % options.global_every == 0:
        window = None
    base = positions.rotary if window is None or positions.local_base is None else positions.local_base
    place = places(sequence, rows, positions.source)

    def ready(row: int, head: int, gain: str) -> Tensor:
        y = heads[row, head]
        if options.qk_norm is not None:
            y = y - y.mean() if options.qk_norm == "layer" else y
            y = (
                y
                / (y.square().mean() + config.norm.eps).sqrt()
                * model.get_parameter(f"{name}.qk_norm.{gain}")
            )
        return y if base is None else turn(y, place[row], base, positions.pairing)

    queries = [[ready(i, head, "query_gain") for head in range(num_heads)] for i in range(len(rows))]
    keys = [[ready(j, num_heads + group, "key_gain") for group in range(kv_heads)] for j in range(len(rows))]
    out = []
    for i in range(len(rows)):
        seen = [j for j in range(len(rows)) if window is None or abs(i - j) <= window]
        bias = torch.zeros(len(seen), num_heads, dtype=torch.float64)
        if positions.bias is not None:
            bias = torch.stack([bias_of_pair(model, sequence, layer, rows, i, j) for j in seen])
        of_heads = []
        for head in range(num_heads):
            group = head // (num_heads // kv_heads)
            gate = _gate(model, name, heads[i, head], head) if positions.bias == "gated_bucketed" else 1.0
            scores = [(queries[i][head] * keys[j][group]).sum() / math.sqrt(width) for j in seen]
            weight = (torch.stack(scores) + gate * bias[:, head]).softmax(0)
            of_heads.append((weight[:, None] * heads[seen, num_heads + kv_heads + group]).sum(0))
        out.append(torch.cat(of_heads))
    return _linear(model, f"{name}.out", torch.stack(out))


def _gate(model: MaskedTransformer | LightDecoder, name: str, query: Tensor, head: int) -> Tensor:
    eight = model.get_parameter(f"{name}.gate.linear.weight") @ query + model.get_parameter(
        f"{name}.gate.linear.bias"
    )
    a, b = (1 / (1 + torch.exp(-part.sum())) for part in (eight[:4], eight[4:]))
    return a * (b * model.get_parameter(f"{name}.gate.scale")[head] - 1) + 2
