"""The packed core against transformers' padded BertModel with the same weights, batches filled to 0.4, bf16."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from benchmarks.on_gpu.setting import PEAK, Row, Setting
from benchmarks.work import lengths_of, pass_name, text_sequence, trunk_flops

Call = Callable[[], object]


def padded(setting: Setting) -> Iterator[Row]:
    """Forward and training, compiled against compiled; then eager against eager."""
    if find_spec("transformers") is None:
        yield {"row": "fill 0.4 against padded BertModel", "skipped": "transformers is not installed"}
        return
    pair = _Pair(setting)
    yield {"row": "fill 0.4, largest difference of bf16 features", **pair.check()}
    kinds = (True, False) if setting.is_compiled else (False,)
    for is_compiled in kinds:
        for is_training in (True, False):
            ours, peer = pair.calls(is_training, is_compiled)
            yield pair.row(ours, peer, is_training, is_compiled)
    reason = "the flash-attn package is not installed" if find_spec("flash_attn") is None else "no case yet"
    yield {"row": "fill 0.4 against flattened ModernBERT with FlashAttention 2", "skipped": reason}


class _Pair:
    """BERT through our core and in transformers' own, on the same samples."""

    def __init__(self, setting: Setting) -> None:
        from transformers import BertConfig, BertModel

        from maskmm.interop import from_transformers

        self.setting = setting
        self.longest, self.count = setting.pick(512, 32), setting.pick(192, 8)
        width = setting.pick(768, 64)
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=setting.pick(8192, 64), hidden_size=width, num_hidden_layers=setting.pick(12, 2),
            num_attention_heads=width // 64, intermediate_size=4 * width, max_position_embeddings=self.longest,
            hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="sdpa",
        )  # fmt: skip
        self.bert = BertModel(config, add_pooling_layer=False).to(setting.device)
        self.model = from_transformers(self.bert).model.to(setting.device)
        self.lengths = sorted(lengths_of(self.count, self.longest, 0.4), reverse=True)
        sequence = text_sequence(self.lengths, self.model.vocabulary)
        start = self.model.vocabulary.slice("text", 0).start
        ids, is_real = (torch.zeros(self.count, self.longest, dtype=torch.long) for _ in range(2))
        for row, first, length in zip(range(self.count), sequence.cu_seqlens.tolist(), self.lengths):
            ids[row, :length] = sequence.ids[first : first + length, 0] - start
            is_real[row, :length] = 1
        self.sequence = sequence.to(setting.device)
        self.ids, self.is_real = ids.to(setting.device), is_real.to(setting.device)
        self.target = torch.randn(sum(self.lengths), width, device=setting.device)

    def theirs(self) -> Tensor:
        """(N, D) features of real tokens."""
        return self.bert(self.ids, attention_mask=self.is_real).last_hidden_state[self.is_real.bool()]

    def ours(self) -> Tensor:
        """(N, D) features."""
        return self.model.forward_features(self.sequence)

    def check(self) -> Row:
        with torch.no_grad(), self.setting.autocast():
            ours, theirs = self.ours().float(), self.theirs().float()
        error = float((ours - theirs).norm() / theirs.norm())
        assert error < 2e-2, f"features differ by {error:.4f} of their norm"
        return {"relative_error": error, "largest": float((ours - theirs).abs().max())}

    def calls(self, is_training: bool, is_compiled: bool) -> tuple[Call, Call]:
        """One pass of each."""
        wrap = self.setting.compiled if is_compiled else lambda call: call
        return (
            self._call(wrap(lambda: self.ours().float().mul(self.target).sum()), self.model, is_training),
            self._call(wrap(lambda: self._padded_loss()), self.bert, is_training),
        )

    def _padded_loss(self) -> Tensor:
        hidden = self.bert(self.ids, attention_mask=self.is_real).last_hidden_state
        return (hidden.float() * self.is_real[..., None]).sum()

    def _call(self, loss: Callable[[], Tensor], model: nn.Module, is_training: bool) -> Call:
        def forward() -> None:
            with torch.no_grad(), self.setting.autocast():
                loss()

        def step() -> None:
            with self.setting.autocast():
                value = loss()
            value.backward()
            model.zero_grad(set_to_none=True)

        return step if is_training else forward

    def row(self, ours: Call, peer: Call, is_training: bool, is_compiled: bool) -> Row:
        """Ratios within rounds, rotating order."""
        setting = self.setting
        for call in (ours, peer):
            setting.seconds(lambda _, call=call: call(), setting.pick(5, 1))
        times: dict[Call, list[float]] = {ours: [], peer: []}
        for index in range(setting.pick(7, 2)):
            for call in (ours, peer) if index % 2 else (peer, ours):
                times[call].append(setting.seconds(lambda _, call=call: call(), setting.pick(4, 1)))
        ratios = [theirs / mine for mine, theirs in zip(times[ours], times[peer])]
        seconds = statistics.median(times[ours])
        flops = trunk_flops(self.model.blocks, self.model.config.width, self.lengths, is_training)
        name = pass_name(is_training)
        return {
            "row": f"fill 0.4 against padded BertModel, {name}, {'compiled' if is_compiled else 'eager'}",
            "ratio": round(statistics.median(ratios), 3),
            "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
            "goal": 2.2,
            "fill": round(sum(self.lengths) / (self.count * self.longest), 3),
            "tokens_per_s": round(sum(self.lengths) / seconds),
            "utilisation": round(flops / seconds / PEAK, 4),
            "ours_ms": round(1e3 * seconds, 2),
            "peer_ms": round(1e3 * statistics.median(times[peer]), 2),
        }
