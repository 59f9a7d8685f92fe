"""The packed core against transformers' padded BertModel with the same weights, batches filled to 0.4, bf16."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from benchmarks.on_gpu.paired import Pair, Side
from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.work import lengths_of, text_sequence

_NAME = "fill 0.4 against padded BertModel"


def padded(setting: Setting) -> Iterator[Row]:
    """Forward and training, compiled against compiled and eager against eager."""
    if find_spec("transformers") is None:
        yield {"row": _NAME, "skipped": "transformers is not installed"}
        return
    yield from _pair(setting).rows(setting, [(True, True), (True, False), (False, False), (False, True)])


def _pair(setting: Setting) -> Pair:
    from transformers import BertConfig, BertModel

    from maskmm.interop import from_transformers

    longest, count, width = setting.pick(512, 32), setting.pick(192, 8), setting.pick(768, 64)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=setting.pick(8192, 64), hidden_size=width, num_hidden_layers=setting.pick(12, 2),
        num_attention_heads=width // 64, intermediate_size=4 * width, max_position_embeddings=longest,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False).to(setting.device)
    model = from_transformers(bert).model.to(setting.device)
    lengths = sorted(lengths_of(count, longest, 0.4), reverse=True)
    sequence = text_sequence(lengths, model.vocabulary)
    is_real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    ids = torch.zeros(count, longest, dtype=torch.long)
    ids[is_real] = sequence.ids[:, 0] - model.vocabulary.slice("text", 0).start
    sequence, ids, is_real = sequence.to(setting.device), ids.to(setting.device), is_real.to(setting.device)
    mask_BT = is_real.long()
    target_ND = torch.randn(sum(lengths), width, device=setting.device)

    def ours() -> Tensor:
        return model.forward_features(sequence)

    def hidden() -> Tensor:
        return bert(ids, attention_mask=mask_BT).last_hidden_state

    return Pair(
        _NAME,
        2.2,
        model,
        Side(model, ours, lambda: (ours().float() * target_ND).sum()),
        # Rows are not gathered in what is timed.
        Side(bert, lambda: hidden()[is_real], lambda: (hidden().float() * mask_BT[..., None]).sum()),
        lengths,
        longest,
    )
