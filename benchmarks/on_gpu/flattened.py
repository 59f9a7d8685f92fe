"""The packed core against transformers' ModernBertModel on flattened samples, with the same attention kernels, bf16.

transformers' own way there is `attn_implementation="flash_attention_2"` on one row of all samples. Here its attention
interface is given the call that we use, so that what is compared is everything else, flash-attn installed or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.paired import Pair, Side
from benchmarks.on_gpu.setting import Row, Setting
from benchmarks.work import lengths_of, text_sequence
from maskmm.nn.attention import attend

_NAME = "flattened ModernBERT, same kernels"
_INTERFACE = "maskmm_packed"


def flattened(setting: Setting) -> Iterator[Row]:
    """Eager against eager, then compiled against compiled."""
    if find_spec("transformers") is None:
        yield {"row": _NAME, "skipped": "transformers is not installed"}
        return
    yield from _pair(setting).rows(setting, [(True, False), (False, False), (True, True), (False, True)])


def _pair(setting: Setting) -> Pair:
    from transformers import AttentionInterface, ModernBertConfig, ModernBertModel

    from maskmm.interop import from_transformers

    longest, count, width = setting.pick(512, 32), setting.pick(192, 8), setting.pick(768, 64)
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=setting.pick(8192, 64), hidden_size=width, num_hidden_layers=setting.pick(12, 2),
        num_attention_heads=width // 64, intermediate_size=8 * width // 3, max_position_embeddings=longest,
        global_attn_every_n_layers=3, local_attention=setting.pick(128, 8), attn_implementation="sdpa",
        pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    peer = ModernBertModel(config).to(setting.device)
    model = from_transformers(peer).model.to(setting.device)
    lengths = sorted(lengths_of(count, longest, 0.4), reverse=True)
    sequence = text_sequence(lengths, model.vocabulary).to(setting.device)
    ids_1N = (sequence.ids[:, 0] - model.vocabulary.slice("text", 0).start)[None]
    places_1N = sequence.row_in_sample()[None]
    layout = model.layout(sequence)

    def attention(
        module: nn.Module, q_1HNK: Tensor, k_1HNK: Tensor, v_1HNK: Tensor, mask: Tensor | None,
        sliding_window: int | None = None, **kwargs: Any,
    ) -> tuple[Tensor, None]:  # fmt: skip
        # Versions of transformers count the row itself as one of its window, or not.
        local = layout.with_window(None if sliding_window is None else model.config.attention.window)
        q_NHK, k_NHK, v_NHK = (t[0].transpose(0, 1) for t in (q_1HNK, k_1HNK, v_1HNK))
        return attend(q_NHK, k_NHK, v_NHK, local)[None], None

    AttentionInterface.register(_INTERFACE, attention)
    peer.set_attn_implementation(_INTERFACE)
    # Masks that are given are not built: the layout says who may attend to whom.
    masks = dict.fromkeys(("full_attention", "sliding_attention"))
    target_ND = torch.randn(sum(lengths), width, device=setting.device)

    def ours() -> Tensor:
        return model.forward_features(sequence)

    def theirs() -> Tensor:
        return peer(ids_1N, attention_mask=masks, position_ids=places_1N).last_hidden_state[0]

    return Pair(
        _NAME,
        1.05,
        model,
        Side(model, ours, lambda: (ours().float() * target_ND).sum()),
        Side(peer, theirs, lambda: (theirs().float() * target_ND).sum()),
        lengths,
        longest,
        [model.config.attention.window_of(layer) for layer in range(model.config.depth)],
    )
