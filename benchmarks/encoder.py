"""The packed encoder against transformers' padded BertModel, and heads on slices against one joint head.

python -m benchmarks.encoder [--quick] [--out FILE]      one thread, CPU time, ratios within a round
Matched: width, depth, heads, feed-forward operations; the same lengths; only real tokens count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from transformers import BertConfig, BertModel

from benchmarks.harness import Case, main
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.sequence import TokenSequence, pack, take_samples
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality, TokenBatch, TokenSpec

VOCABULARY = 8192


def lengths_of(count: int, longest: int, fill: float, seed: int = 0) -> list[int]:
    """Lengths between 1 and `longest` with a mean of about fill * longest; one has the longest."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.rand(count - 1, generator=generator) * 2 * fill
    return [longest, *(spread.clamp(1 / longest, 1.0) * longest).long().tolist()]


def text_sequence(lengths: list[int], longest: int) -> TokenSequence:
    """Packed random codes, longest sample first as the Packer lays them."""
    modality = Modality("text", TokenSpec(VOCABULARY, axes=("t",), max_length=longest))
    generator = torch.Generator().manual_seed(1)
    samples = [{"text": torch.randint(VOCABULARY, (n, 1), generator=generator)} for n in lengths]
    sequence = pack(TokenBatch.from_samples(samples, [modality]), Vocabulary([modality]), has_cls=False)
    return take_samples(sequence, torch.tensor(lengths).argsort(descending=True, stable=True))


def encoder_case(
    name: str, width: int, depth: int, lengths: list[int], longest: int, goal: float, is_training: bool
) -> Case:
    """One batch through both encoders, forward alone or with the backward."""
    heads = width // 64
    sequence = text_sequence(lengths, longest)
    # Gated feed-forward: three matrices of 2/3 of the width 4 D do the operations of two of 4 D.
    config = TransformerConfig(
        width=width,
        depth=depth,
        attention=AttentionConfig(num_heads=heads),
        ffn=FeedForwardConfig(width=8 * width // 3),
    )
    ours = MaskedTransformer(sequence.vocabulary, config).train(is_training)
    bert = BertConfig(
        vocab_size=VOCABULARY, hidden_size=width, num_hidden_layers=depth, num_attention_heads=heads,
        intermediate_size=4 * width, max_position_embeddings=longest,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    peer = BertModel(bert, add_pooling_layer=False).train(is_training)
    ids = torch.zeros(len(lengths), longest, dtype=torch.long)
    is_real = torch.zeros(len(lengths), longest, dtype=torch.long)
    for row, length in enumerate(sorted(lengths, reverse=True)):
        is_real[row, :length] = 1

    def run(forward: Callable[[], torch.Tensor], model: torch.nn.Module) -> None:
        if not is_training:
            with torch.inference_mode():
                forward()
            return
        forward().sum().backward()
        model.zero_grad(set_to_none=True)

    def check() -> None:
        with torch.inference_mode():
            packed = ours.forward_features(sequence)
            for index in (0, len(lengths) - 1):
                alone = ours.forward_features(take_samples(sequence, torch.tensor([index])))
                rows = slice(int(sequence.cu_seqlens[index]), int(sequence.cu_seqlens[index + 1]))
                torch.testing.assert_close(packed[rows], alone, atol=1e-4, rtol=1e-4)

    return Case(
        name=name,
        ours=lambda: run(lambda: ours.forward_features(sequence), ours),
        peer=lambda: run(lambda: peer(ids, attention_mask=is_real).last_hidden_state[is_real.bool()], peer),
        check=check,
        goal=goal,
        work=f"{sum(lengths)} tokens in {len(lengths)} samples of at most {longest}",
    )


def head_case(width: int, rows: int, goal: float) -> Case:
    """Cross-entropy of masked rows: a slice for each modality against one joint head of 57,856 codes."""
    shares = {
        "image": (8192, 0.3),
        "video": (8192, 0.3),
        "motion": (512, 0.1),
        "audio": (8192, 0.15),
        "text": (32768, 0.15),
    }
    modalities = [Modality(name, TokenSpec(size)) for name, (size, _) in shares.items()]
    model = MaskedTransformer(
        Vocabulary(modalities),
        TransformerConfig(
            width=width, depth=1, attention=AttentionConfig(num_heads=4), ffn=FeedForwardConfig(width=64)
        ),
    )
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(rows, width, generator=generator)
    questions, start = [], 0
    for name, (size, share) in shares.items():
        stop = min(rows, start + round(share * rows))
        questions.append(
            (name, slice(start, stop), torch.randint(size, (stop - start,), generator=generator))
        )
        start = stop
    joint = torch.cat([codes + model.vocabulary.slice(name, 0).start for name, _, codes in questions])

    def sliced() -> torch.Tensor:
        logits = model.logits_of([(features[part], name, 0) for name, part, _ in questions])
        losses = [F.cross_entropy(x, codes, reduction="sum") for x, (_, _, codes) in zip(logits, questions)]
        return torch.stack(losses).sum()

    def whole() -> torch.Tensor:
        logits = F.linear(features[: len(joint)], model.embedding.codes.weight, model.head_bias)
        return F.cross_entropy(logits, joint, reduction="sum")

    def step(loss: Callable[[], torch.Tensor]) -> None:
        loss().backward()
        model.zero_grad(set_to_none=True)

    def check() -> None:
        # A joint softmax also spends probability on other modalities, so its loss is never smaller.
        assert float(sliced().detach()) <= float(whole().detach())

    return Case(
        f"multimodal head, d{width}, slices against joint", lambda: step(sliced), lambda: step(whole), check, goal,
        f"{len(joint)} masked rows, 57,856 codes, forward and backward",
    )  # fmt: skip


def cases(is_quick: bool) -> Iterable[Case]:
    """Rows 1, 2 and 9 of the speed goals; the quick run has d256 alone."""
    mixed = lengths_of(8, 512, 0.37)
    yield encoder_case("mixed lengths, d256 L6, forward", 256, 6, mixed, 512, 3.0, is_training=False)
    yield encoder_case("mixed lengths, d256 L6, training", 256, 6, mixed, 512, 2.7, is_training=True)
    yield encoder_case("full lengths, d256 L6, forward", 256, 6, [512] * 4, 512, 1.02, is_training=False)
    yield head_case(256, 512, 4.5)
    if is_quick:
        return
    few = lengths_of(4, 512, 0.3)
    yield encoder_case("mixed lengths, d768 L12, forward", 768, 12, few, 512, 2.6, is_training=False)
    yield encoder_case("mixed lengths, d768 L12, training", 768, 12, few, 512, 2.5, is_training=True)
    yield head_case(768, 512, 4.5)


if __name__ == "__main__":
    main(cases, ["transformers"])
