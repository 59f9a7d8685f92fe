"""Logits only where they are asked: masked rows against all rows, slices of modalities against one joint head.

python -m benchmarks.head [--quick] [--mode cpu|wall] [--gates] [--out FILE]      forward and backward
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Case, main
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.nn.linear import linear
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


def cases(is_quick: bool) -> Iterator[Case]:
    """Rows 8 and 9 of the speed goals; the quick run has d256 alone, up to 32k codes."""
    for width in (256,) if is_quick else (256, 768):
        for num_codes in (8192, 32768) if is_quick else (8192, 32768, 65536):
            yield _masked_rows(width, num_codes, num_rows=1024)
        yield _slices(width, num_rows=512)


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


def _slices(width: int, num_rows: int) -> Case:
    """A slice for each modality against one joint head of 57,856 codes."""
    model = _model([Modality(name, TokenSpec(size)) for name, (size, _) in _SHARES.items()], width)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num_rows, width, generator=generator)
    questions, start = [], 0
    for name, (size, share) in _SHARES.items():
        stop = min(num_rows, start + round(share * num_rows))
        questions.append(
            (name, slice(start, stop), torch.randint(size, (stop - start,), generator=generator))
        )
        start = stop
    joint = torch.cat([codes + model.vocabulary.slice(name, 0).start for name, _, codes in questions])

    def sliced() -> Tensor:
        asked = [_question(model, name, len(codes)) for name, _, codes in questions]
        return _loss(model, features[: len(joint)], joint, asked)

    def whole() -> Tensor:
        logits = linear(features[: len(joint)], model.embedding.codes.weight, model.head_bias)
        return F.cross_entropy(logits, joint, reduction="sum")

    def check() -> None:
        # A joint softmax also spends probability on other modalities, so its loss is never smaller.
        assert float(sliced().detach()) <= float(whole().detach())

    return Case(
        f"multimodal head, d{width}, slices against joint",
        lambda: _step(sliced, model),
        lambda: _step(whole, model),
        check,
        4.5,
        f"{len(joint)} masked rows, 57,856 codes, forward and backward",
        3.5,
        6.0 * width * sum(_SHARES[name][0] * len(codes) for name, _, codes in questions),
    )


def _question(model: MaskedTransformer, name: str, num_rows: int) -> Question:
    ids = model.vocabulary.slice(name, 0)
    return Question(num_rows, ids.start, ids.stop)


def _loss(model: MaskedTransformer, features: Tensor, ids: Tensor, questions: list[Question]) -> Tensor:
    """Sum over rows, as `MaskedCrossEntropy` takes it."""
    scores = code_scores(features, *model.head_table(), ids, questions, MAX_LOGITS_CPU)
    return (scores.log_sum - scores.right).sum()


def _step(loss: Callable[[], Tensor], model: MaskedTransformer, features: Tensor | None = None) -> None:
    loss().backward()
    model.zero_grad(set_to_none=True)
    if features is not None:
        features.grad = None


if __name__ == "__main__":
    main(cases)
