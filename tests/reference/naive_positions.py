"""Positions written out pair by pair: rotary turns, biases of scores, convolution; one sample at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskmm.model import MaskedTransformer
from maskmm.nn.light_decoder import LightDecoder
from maskmm.sequence import TokenSequence


def places(sequence: TokenSequence, rows: list[int], source: str) -> list[list[int]]:
    """Coordinates of some rows of a sample."""
    if source == "sample":
        return [[row - int(sequence.cu_seqlens[sequence.sample[row]])] for row in rows]
    return [sequence.position[row].tolist() for row in rows]


def turn(x_K: Tensor, place: list[int], base: float, pairing: str) -> Tensor:
    """One head of one row: channel pair p turns with axis p mod A."""
    num_pairs, num_axes = len(x_K) // 2, max(len(place), 1)
    per_axis = math.ceil(num_pairs / num_axes)
    out = x_K.clone()
    for pair in range(num_pairs):
        coordinate = place[pair % num_axes] if place else 0
        angle = coordinate * base ** (-(pair // num_axes) / per_axis)
        i, j = (2 * pair, 2 * pair + 1) if pairing == "interleaved" else (pair, pair + num_pairs)
        out[i] = x_K[i] * math.cos(angle) - x_K[j] * math.sin(angle)
        out[j] = x_K[j] * math.cos(angle) + x_K[i] * math.sin(angle)
    return out


def bucket(distance: int, num_buckets: int, max_distance: int) -> int:
    """T5's bucket of a signed distance (key minus query)."""
    half, exact = num_buckets // 2, num_buckets // 4
    first = half if distance > 0 else 0
    size = abs(distance)
    if size < exact:
        return first + size
    grown = exact + int(math.log(size / exact) / math.log(max_distance / exact) * (half - exact) + 1e-9)
    return first + min(grown, half - 1)


def slopes(num_heads: int) -> list[float]:
    """ALiBi's slopes: a geometric sequence, odd ones of twice the length where H is no power of two."""
    if num_heads & (num_heads - 1) == 0:
        return [2 ** (-8 * (head + 1) / num_heads) for head in range(num_heads)]
    power = 2 ** math.floor(math.log2(num_heads))
    return slopes(power) + slopes(2 * power)[::2][: num_heads - power]


def bias_of_pair(
    model: MaskedTransformer | LightDecoder,
    sequence: TokenSequence,
    layer: int,
    rows: list[int],
    i: int,
    j: int,
) -> Tensor:
    """(H,) bias of query i and key j of a sample, before any gate."""
    options, num_heads = model.config.positions, model.config.attention.num_heads
    place = places(sequence, rows, options.source)
    if options.bias == "alibi":
        distance = sum(abs(a - b) for a, b in zip(place[i], place[j]))
        return torch.tensor([-slope * distance for slope in slopes(num_heads)], dtype=torch.float64)
    table = model.get_parameter(f"biases.{0 if options.is_bias_shared else layer}.table.weight")
    if options.bias == "table_2d":
        return _table_bias(sequence, table, rows[i], rows[j], *_grid(sequence))
    total = torch.zeros(num_heads, dtype=torch.float64)
    for axis, (a, b) in enumerate(zip(place[i], place[j])):
        total = (
            total
            + table[axis * options.num_buckets + bucket(b - a, options.num_buckets, options.max_distance)]
        )
    return total


def _grid(sequence: TokenSequence) -> tuple[int, int]:
    grids = [
        m.spec.shape() for m in sequence.vocabulary.modalities if m.spec.is_fixed and len(m.spec.axes) == 2
    ]
    return max(g[0] for g in grids), max(g[1] for g in grids)


def _table_bias(sequence: TokenSequence, table: Tensor, q: int, k: int, height: int, width: int) -> Tensor:
    vocabulary = sequence.vocabulary

    def where(row: int) -> tuple[int, int] | str | None:
        if int(sequence.segment[row]) < 0:
            return "cls"
        spec = vocabulary.modalities[int(sequence.modality[row]) - 1].spec
        if not spec.is_fixed or len(spec.axes) != 2:
            return None
        y, x = (int(sequence.position[row, vocabulary.axes.index(axis)]) for axis in spec.axes)
        return y, x

    at_q, at_k = where(q), where(k)
    if at_q is None or at_k is None:
        return torch.zeros_like(table[0])
    if at_q == "cls" and at_k == "cls":
        return table[-1]
    if at_k == "cls":
        return table[-2]
    if at_q == "cls":
        return table[-3]
    if int(sequence.segment[q]) != int(sequence.segment[k]):
        return torch.zeros_like(table[0])
    assert isinstance(at_q, tuple) and isinstance(at_k, tuple)
    dy, dx = at_q[0] - at_k[0] + height - 1, at_q[1] - at_k[1] + width - 1
    return table[dy * (2 * width - 1) + dx]


def convolved(model: MaskedTransformer, x_LD: Tensor) -> Tensor:
    """gelu(conv(x)) of one sample, tap by tap."""
    options = model.config.positions
    gain = model.get_parameter("conv_positions.conv.parametrizations.weight.original0")
    direction = model.get_parameter("conv_positions.conv.parametrizations.weight.original1")
    weight = gain * direction / direction.square().sum(dim=(0, 1), keepdim=True).sqrt()
    kernel, groups = options.conv_kernel or 0, options.conv_groups
    size = x_LD.shape[1] // groups
    rows = []
    for row in range(x_LD.shape[0]):
        out = model.get_parameter("conv_positions.conv.bias").clone()
        for tap in range(kernel):
            source = row + tap - kernel // 2
            if not 0 <= source < x_LD.shape[0]:
                continue
            parts = [
                weight[g * size : (g + 1) * size, :, tap] @ x_LD[source, g * size : (g + 1) * size]
                for g in range(groups)
            ]
            out = out + torch.cat(parts)
        rows.append(out)
    return torch.nn.functional.gelu(torch.stack(rows))
