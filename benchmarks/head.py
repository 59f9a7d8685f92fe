"""Logits only where they are asked: masked rows against all rows, slices of modalities against one joint head.

All of them in tiles against torch's own chunks, where torch has them.

python -m benchmarks.head [--quick] [--mode cpu|wall] [--gates] [--out FILE]      forward and backward
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.harness import Case, Skipped, main
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.nn.linear import is_onednn_faster, linear
from maskmm.nn.linear_cross_entropy import MAX_LOGITS_CPU, Question, code_scores
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenSpec

# Modality -> codes, share of the masked rows.
_SHARES = {
    "image": (8192, 0.3),
    "video": (8192, 0.3),
    "motion": (512, 0.1),
    "audio": (8192, 0.15),
    "text": (32768, 0.15),
}


def cases(is_quick: bool) -> Iterator[Case | Skipped]:
    """Rows 8 and 9 of the speed goals; the quick run has d256 alone, up to 32k codes."""
    for width in (256,) if is_quick else (256, 768):
        for num_codes in (8192, 32768) if is_quick else (8192, 32768, 65536):
            yield _masked_rows(width, num_codes, num_rows=1024)
        yield from _slices(width, num_rows=512)
        yield _torch_in_chunks(width, 32768, num_rows=256 if is_quick else 1024)


def _model(modalities: list[Modality], width: int) -> MaskedTransformer:
    """Only its head is used."""
    small = TransformerConfig(
        width=width, depth=1, attention=AttentionConfig(num_heads=4), ffn=FeedForwardConfig(width=64)
    )
    torch.manual_seed(0)
    return MaskedTransformer(Vocabulary(modalities), small)


def _masked_rows(width: int, num_codes: int, num_rows: int) -> Case:
    model = _model([Modality("text", TokenSpec(num_codes))], width)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num_rows, width, generator=generator, requires_grad=True)
    rows = torch.randperm(num_rows, generator=generator)[: round(0.3 * num_rows)].sort().values
    codes = torch.randint(num_codes, (num_rows,), generator=generator)
    labels = torch.full_like(codes, -100)
    labels[rows] = codes[rows]

    ids = codes[rows] + model.vocabulary.slice("text", 0).start
    question = _question(model, "text", len(rows))

    def ours() -> Tensor:
        return _loss(model, features[rows], ids, [question]) / len(rows)

    def full() -> Tensor:
        (logits,) = model.logits_of([(features, "text", 0)])
        return F.cross_entropy(logits, labels, ignore_index=-100)

    return Case(
        f"head, d{width}, {num_codes} codes, 30 % of the rows against all",
        lambda: _step(ours, model, features),
        lambda: _step(full, model, features),
        lambda: torch.testing.assert_close(ours(), full()),
        3.0,
        f"{num_rows} rows, forward and backward",
        2.7,
        6.0 * width * num_codes * len(rows),
    )


def _slices(width: int, num_rows: int) -> Iterator[Case]:
    """A slice for each modality against one joint head of 57,856 codes, by our product and by torch's own."""
    model = _model([Modality(name, TokenSpec(size)) for name, (size, _) in _SHARES.items()], width)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num_rows, width, generator=generator, requires_grad=True)
    sizes = [round(share * num_rows) for _, share in _SHARES.values()]
    sizes[-1] -= sum(sizes) - num_rows
    asked = [_question(model, name, size) for name, size in zip(_SHARES, sizes)]
    ids = torch.cat([torch.randint(q.start, q.stop, (q.num_rows,), generator=generator) for q in asked])

    def sliced() -> Tensor:
        return _loss(model, features, ids, asked)

    def check() -> None:
        parts = zip(features.split(sizes), _SHARES, ids.split(sizes), asked)
        losses = [
            F.cross_entropy(model.logits(x, name, 0), codes - question.start, reduction="sum")
            for x, name, codes, question in parts
        ]
        torch.testing.assert_close(sliced(), torch.stack(losses).sum())

    for has_onednn, product in [(True, "by the same product"), (False, "as torch multiplies")]:
        if has_onednn and not is_onednn_faster():
            continue

        def joint(has_onednn: bool = has_onednn) -> Tensor:
            with torch.backends.mkldnn.flags(enabled=has_onednn):
                logits = linear(features, model.embedding.codes.weight, model.head_bias)
            return F.cross_entropy(logits, ids, reduction="sum")

        yield Case(
            f"multimodal head, d{width}, slices against joint, {product}",
            lambda: _step(sliced, model, features),
            lambda joint=joint: _step(joint, model, features),
            check,
            4.5,
            f"{num_rows} masked rows, 57,856 codes, forward and backward",
            3.5,
            6.0 * width * sum(question.num_rows * (question.stop - question.start) for question in asked),
        )


def _torch_in_chunks(width: int, num_codes: int, num_rows: int) -> Case | Skipped:
    """torch's own loss without all logits, from torch 2.13 on: it has the mean over all rows alone."""
    name = f"head, d{width}, {num_codes} codes, all rows, against torch.nn.functional.linear_cross_entropy"
    if not hasattr(nn, "LinearCrossEntropyOptions"):
        return Skipped(name, f"torch {torch.__version__} has no linear_cross_entropy in chunks")
    model = _model([Modality("text", TokenSpec(num_codes))], width)
    features = torch.randn(num_rows, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    codes = torch.arange(num_rows) % num_codes
    question = _question(model, "text", num_rows)
    options = nn.LinearCrossEntropyOptions()

    def ours() -> Tensor:
        return _loss(model, features, codes + question.start, [question]) / num_rows

    peer = nn.Linear(width, num_codes)
    table, bias = model.head_table()
    assert bias is not None
    peer.load_state_dict({"weight": table[question.start : question.stop], "bias": bias[question.start :]})

    def theirs() -> Tensor:
        return F.linear_cross_entropy(features, peer.weight, codes, linear_bias=peer.bias, options=options)

    return Case(
        name,
        lambda: _step(ours, model, features),
        lambda: _step(theirs, peer, features),
        lambda: torch.testing.assert_close(ours(), theirs(), atol=1e-4, rtol=1e-4),
        1.0,
        f"{num_rows} rows, forward and backward",
        flops=6.0 * width * num_codes * num_rows,
    )


def _question(model: MaskedTransformer, name: str, num_rows: int) -> Question:
    ids = model.vocabulary.slice(name, 0)
    return Question(num_rows, ids.start, ids.stop)


def _loss(model: MaskedTransformer, features: Tensor, ids: Tensor, questions: list[Question]) -> Tensor:
    """Sum over rows, as `MaskedCrossEntropy` takes it."""
    scores = code_scores(features, *model.head_table(), ids, questions, MAX_LOGITS_CPU)
    return (scores.log_sum - scores.right).sum()


def _step(loss: Callable[[], Tensor], model: nn.Module, features: Tensor) -> None:
    loss().backward()
    model.zero_grad(set_to_none=True)
    features.grad = None


if __name__ == "__main__":
    main(cases)
