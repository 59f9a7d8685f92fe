"""What a row's embedding is the sum of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maskmm.nn.config import EmbeddingConfig, PositionConfig
from maskmm.nn.embedding import TokenEmbedding
from maskmm.nn.input_projection import build_input_projection
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.sequence import TokenSequence, pack
from maskmm.vocabulary import Vocabulary
from tests.maskmm.decoding.stubs import AUDIO, IMAGE, LABEL, MODALITIES, TEXT, VOCABULARY, full_batch
from tokenizers_vq.contract import TokenBatch

MAX_REPEATS = EmbeddingConfig().num_repeats


def embedding(input_widths: dict[str, int] | None = None, has_positions: bool = True) -> TokenEmbedding:
    torch.manual_seed(0)
    positions = PositionConfig(learned="axial" if has_positions else None)
    config = TransformerConfig(width=8, positions=positions, input_widths=input_widths or {})
    module = TokenEmbedding(VOCABULARY, config)
    assert module.repeat is not None
    with torch.no_grad():
        module.repeat.weight.normal_()
    return module


def image(seed: int = 0) -> Tensor:
    return torch.randint(11, (3, 4, 1), generator=torch.Generator().manual_seed(seed))


def naive(module: TokenEmbedding, sequence: TokenSequence) -> Tensor:
    """Row by row; a coordinate's slot counts through modalities, then axes, then coordinates."""
    slots: dict[tuple[int, int, int], int] = {}
    for index, m in enumerate(VOCABULARY.modalities, start=1):
        for axis, extent in zip(m.spec.axes, m.spec.grid or ()):
            for coordinate in range(extent or m.spec.max_length or 0):
                slots[index, VOCABULARY.axes.index(axis), coordinate] = len(slots) + 1
    out = []
    seen: dict[tuple[int, int], list[int]] = {}
    for row in range(sequence.num_rows):
        modality, segment = int(sequence.modality[row]), int(sequence.segment[row])
        x = module.modality.weight[modality].clone()
        for id_ in sequence.ids[row].tolist():
            x = x + (module.codes.weight[id_] if id_ != VOCABULARY.pad_id else 0)
        assert module.positions is not None
        for axis, coordinate in enumerate(sequence.position[row].tolist()):
            if (modality, axis, coordinate) in slots:
                x = x + module.positions.weight[slots[modality, axis, coordinate]]
        repeat = 0
        if segment >= 0:
            earlier = seen.setdefault((int(sequence.sample[row]), modality), [])
            if segment not in earlier:
                earlier.append(segment)
            repeat = min(earlier.index(segment), MAX_REPEATS - 1)
        out.append(x + module.repeat.weight[repeat])
    return torch.stack(out)


def test_equals_the_naive_sum() -> None:
    samples = [
        {
            "image": [image(1), image(2)],
            "text": torch.zeros(5, 1, dtype=torch.int64),
            "label": torch.tensor([3]),
        },
        {"audio": torch.ones(6, 2, dtype=torch.int64), "image": image(3), "text.length": torch.tensor([4])},
    ]
    module = embedding()
    sequence = pack(TokenBatch.from_samples(samples, MODALITIES), VOCABULARY)
    torch.testing.assert_close(module(sequence), naive(module, sequence))
    kind = torch.zeros_like(sequence.ids)
    kind[::3] = sequence.has_codebook()[::3].long()
    hidden = sequence.hide(kind)
    torch.testing.assert_close(module(hidden), naive(module, hidden))


def test_repeats_are_told_apart_up_to_a_bound() -> None:
    module = embedding()
    count = MAX_REPEATS + 2
    batch = TokenBatch.from_samples([{"image": [image()] * count}], MODALITIES)
    x_ND = module(pack(batch, VOCABULARY, has_cls=False)).view(count, 12, 8)
    distinct = {tuple(x_ND[i, 0].tolist()) for i in range(count)}
    assert len(distinct) == MAX_REPEATS
    assert torch.equal(x_ND[-1], x_ND[MAX_REPEATS - 1])


def test_without_learned_positions_places_look_alike() -> None:
    module = embedding(has_positions=False)
    same = torch.full((3, 4, 1), 5)
    x_ND = module(pack(TokenBatch.from_samples([{"image": same}], MODALITIES), VOCABULARY, has_cls=False))
    assert torch.equal(x_ND, x_ND[:1].expand(12, 8))


def with_inputs(hidden_rows: Tensor | None = None) -> TokenSequence:
    batch = TokenBatch.from_samples(
        [{"image": image()}, {"text": torch.zeros(2, 1, dtype=torch.int64)}], MODALITIES
    )
    inputs = {"image": torch.randn(12, 3, generator=torch.Generator().manual_seed(1))}
    sequence = pack(replace(batch, inputs=inputs), VOCABULARY)
    if hidden_rows is None:
        return sequence
    kind = torch.zeros_like(sequence.ids)
    kind[hidden_rows, 0] = 1
    return sequence.hide(kind)


def test_visible_inputs_are_projected_and_hidden_ones_do_not_show() -> None:
    module = embedding({"image": 3})
    sequence = with_inputs()
    plain = module(replace(sequence, inputs={}))
    rows = (sequence.modality == VOCABULARY.index("image")).nonzero().flatten()
    added = module(sequence) - plain
    torch.testing.assert_close(added[rows], module.inputs["image"](sequence.inputs["image"]))
    assert not added[sequence.modality != VOCABULARY.index("image")].any()
    hidden = with_inputs(rows[:5])
    other = replace(hidden, inputs={"image": hidden.inputs["image"] + 100 * (torch.arange(12) < 5)[:, None]})
    assert torch.equal(module(hidden), module(other))


def test_inputs_without_a_projection() -> None:
    with pytest.raises(
        ValueError, match=r"continuous inputs for 'image', but the model has projections for \[\]"
    ):
        embedding()(with_inputs())


def test_inputs_of_another_width() -> None:
    with pytest.raises(ValueError, match=r"'image' have shape \(12, 3\), but input_widths .* say 4 channels"):
        embedding({"image": 4})(with_inputs())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_of_another_dtype_than_the_weights(dtype: torch.dtype) -> None:
    module, sequence = embedding({"image": 3}), with_inputs()
    given = replace(sequence, inputs={"image": sequence.inputs["image"].to(dtype)})
    torch.testing.assert_close(module(given), module(sequence), atol=0.01, rtol=0.01)
    assert module(given).dtype == torch.float32
    assert module.to(dtype)(sequence).dtype == dtype


def test_the_norm_of_deep_projections_stays_in_float32() -> None:
    projection = build_input_projection(3, 8, hidden=6)
    norm = projection.get_submodule("1")
    with torch.autocast("cpu", torch.bfloat16):
        half = projection.get_submodule("0")(torch.randn(4, 3))
        assert half.dtype == torch.bfloat16 and norm(half).dtype == torch.float32
    wanted = torch.nn.functional.layer_norm(half.float(), (6,))
    torch.testing.assert_close(norm(half), wanted)


def test_a_hidden_input_may_be_anything() -> None:
    module, rows = embedding({"image": 3}), (with_inputs().modality == VOCABULARY.index("image")).nonzero()
    hidden = with_inputs(rows[:5, 0])
    broken = hidden.inputs["image"].clone()
    broken[:5] = float("nan")
    assert torch.equal(module(hidden), module(replace(hidden, inputs={"image": broken})))


def test_axes_shared_by_modalities_have_slots_of_their_own() -> None:
    module = embedding()
    assert module.positions is not None
    sizes = [3 + 4, 6, 5, 0, 0, 0]
    assert module.positions.num_embeddings == 1 + sum(sizes)
    assert Vocabulary([TEXT, AUDIO, IMAGE, LABEL]).axes == ("t", "y", "x")
    batch = full_batch(3)
    assert module(pack(batch, VOCABULARY)).shape == (pack(batch, VOCABULARY).num_rows, 8)
