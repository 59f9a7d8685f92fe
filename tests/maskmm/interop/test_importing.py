"""Importing public models: files of every kind are read, every mistake is one clear error, nothing goes unnamed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer as Pieces

from maskmm.checkpoint import hub
from maskmm.interop import (
    beats,
    beit,
    eurobert,
    from_beats,
    from_timm,
    from_transformers,
    modernbert,
    neobert,
    read_public,
)
from maskmm.interop.fields import Fields
from maskmm.interop.public_model import PublicModel, from_object
from maskmm.sequence import pack
from tests.maskmm.interop.conftest import bert_weights
from tokenizers_vq.contract import TokenBatch
from tokenizers_vq.public_vocabulary import PublicVocabulary

Publish = Callable[..., Path]


class Sly:
    """What a pickle may hold, and ours must not."""


def same(one, other) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True)
    )


def test_what_was_loaded_and_left_out_is_told(published: Publish, caplog) -> None:
    with caplog.at_level(logging.INFO):
        from_transformers(published())
    assert "34 weights loaded, 0 new, 2 ignored" in caplog.text
    assert "blocks.{}.attention.qkv.weight (2)" in caplog.text and "ignored: pooler.dense.bias" in caplog.text
    _, report = read_public(published())
    assert report.ignored == ("pooler.dense.bias", "pooler.dense.weight") and not report.new


def test_a_head_that_is_not_there_is_told(published: Publish, caplog) -> None:
    without = {name: None for name in bert_weights() if name.startswith("cls.")}
    from_transformers(published(without, architectures=["BertModel"]))
    from_transformers(published(architectures=["BertForMaskedLM"]))
    assert "holds no head" not in caplog.text
    from_transformers(published(without, architectures=["BertForMaskedLM"]))
    assert "says it is a BertForMaskedLM, but holds no head" in caplog.text


def test_a_tokenizer_without_a_mask_is_told(published: Publish, caplog) -> None:
    folder = published()
    pieces = Pieces.from_str(PublicVocabulary.read(folder).definition)
    from_transformers(folder)
    assert "names no mask" not in caplog.text
    definition = pieces.to_str().replace("[MASK]", "[HOLE]")
    (folder / "tokenizer.json").write_text(definition)
    assert "[MASK]" not in from_transformers(folder).vocabulary.aliases
    assert "names no mask: hidden tokens are zero vectors" in caplog.text


def test_weights_in_shards_and_in_torch_files(published: Publish) -> None:
    folder = published()
    whole = from_transformers(folder)
    (folder / "model.safetensors").unlink()
    weights, index = bert_weights(), {}
    for number, names in enumerate((list(weights)[::2], list(weights)[1::2])):
        save_file({n: weights[n] for n in names}, folder / f"part-{number}.safetensors")
        index |= dict.fromkeys(names, f"part-{number}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert same(from_transformers(folder), whole)
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(ValueError, match="part-1.safetensors, named by .*index.json, does not exist"):
        from_transformers(folder)
    (folder / "model.safetensors.index.json").unlink()
    torch.save({name: value.bfloat16() for name, value in weights.items()}, folder / "pytorch_model.bin")
    assert from_transformers(folder).model.norm is not None
    torch.save(weights, folder / "pytorch_model.bin")
    assert same(from_transformers(folder), whole)


def test_one_kind_of_weights_is_fetched_from_the_hub(published: Publish, monkeypatch) -> None:
    folder, asked = published(), []

    def snapshot(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    whole = from_transformers("user/model")
    assert len(asked) == 1 and not any("bin" in pattern for pattern in asked[0])
    (folder / "model.safetensors").unlink()
    torch.save(bert_weights(), folder / "pytorch_model.bin")
    assert same(from_transformers("user/model"), whole)
    assert len(asked) == 3 and "pytorch_model*.bin" in asked[2]


def test_old_names_of_norms(published: Publish) -> None:
    weights = bert_weights()
    old = {
        n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
        for n, v in weights.items()
    }
    taken = {name: None for name in weights if name not in old}
    assert same(from_transformers(published(old | taken)), from_transformers(published()))


def test_a_bias_under_either_name(published: Publish) -> None:
    table = bert_weights()["bert.embeddings.word_embeddings.weight"]
    inner = {"cls.predictions.decoder.bias": torch.arange(11.0), "cls.predictions.decoder.weight": table + 1}
    one = {**inner, "cls.predictions.bias": None}
    tied, alone = (from_transformers(published(w)).model.head_bias for w in (inner, one))
    untied, untied_alone, outer = (
        from_transformers(published(w, tie_word_embeddings=False)).model
        for w in (inner, one, {"cls.predictions.decoder.weight": table + 1})
    )
    assert torch.equal(tied, outer.head_bias) and not torch.equal(tied, alone)
    assert torch.equal(alone, untied.head_bias) and torch.equal(alone, untied_alone.head_bias)
    assert torch.equal(untied.head_weight[untied.vocabulary.slice("text", 0)], table + 1)


def test_one_weight_under_two_names(published: Publish) -> None:
    twice = {"embeddings.LayerNorm.bias": torch.zeros(8)}
    with pytest.raises(
        ValueError, match="hold 'embeddings.LayerNorm.bias' twice, once as .*different values"
    ):
        from_transformers(published(twice))
    same_values = {"embeddings.LayerNorm.bias": bert_weights()["bert.embeddings.LayerNorm.bias"]}
    assert same(from_transformers(published(same_values)), from_transformers(published()))


def test_missing_and_extra_weights_are_named(published: Publish) -> None:
    gone = {"bert.encoder.layer.1.output.dense.bias": None, "bert.embeddings.LayerNorm.weight": None}
    extra = {"bert.encoder.layer.2.output.dense.bias": torch.zeros(8), "adapter.weight": torch.zeros(1)}
    with pytest.raises(ValueError) as error:
        from_transformers(published(gone | extra))
    text = str(error.value)
    assert "missing embeddings.LayerNorm.weight, encoder.layer.1.output.dense.bias" in text
    assert "extra adapter.weight, encoder.layer.2.output.dense.bias" in text
    many = {f"bert.encoder.layer.{i}.output.dense.bias": torch.zeros(8) for i in range(2, 30)}
    with pytest.raises(ValueError, match=r"extra adapter.weight, encoder.layer.{}.output.dense.bias \(28\)$"):
        from_transformers(published({"adapter.weight": torch.zeros(1), **many}))
    with pytest.raises(
        ValueError, match=r"attention.out.bias of shape \(8,\), expected \(16,\); .*; and \d+ more$"
    ):
        from_transformers(published(hidden_size=16))
    with pytest.raises(
        ValueError, match="embedding.positions.weight of shape \\(16, 8\\), expected \\(20, 8\\)"
    ):
        from_transformers(published(max_position_embeddings=20))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model_type": "gpt2"}, "model_type='gpt2', expected a model_type among .*'bert'"),
        ({"model_type": None}, "model_type=None, expected .* older than the field can be given it"),
        ({"model_type": None, "architecture": "vit_base"}, "architecture='vit_base', expected"),
        ({"position_embedding_type": "relative_key"}, "_type='relative_key', which a Trans.* 'absolute'"),
        ({"hidden_act": "mish"}, "hidden_act='mish', which a TransformerConfig cannot express"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"tie_word_embeddings": False}, "missing cls.predictions.decoder.weight; extra none"),
        ({"hidden_size": None}, "lacks 'hidden_size'"),
        ({"num_attention_heads": 3}, "width=8 over num_heads=3"),
        ({"vocab_size": 10}, "codes up to 10, the model a table of 10 rows"),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_expressed(options: dict, message: str, published: Publish) -> None:
    with pytest.raises(ValueError, match=message):
        from_transformers(published(**options))


def test_damaged_files(published: Publish, tmp_path: Path) -> None:
    folder = published()
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is truncated, or holds more than tensors"):
        from_transformers(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no weights; expected one of"):
        from_transformers(folder)
    torch.save({"a": Sly()}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds more than tensors"):
        from_transformers(folder)
    torch.save([torch.zeros(1)], folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="holds a list, expected names and tensors"):
        from_transformers(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match="config.json is no JSON"):
        from_transformers(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="config.json does not exist"):
        from_transformers(folder)
    with pytest.raises(ValueError, match="does not exist; give the file of a checkpoint"):
        from_beats(tmp_path / "nowhere.pt")
    for content in (b"hello", b"", b"\x80\x02}q\x00", b"cos\nsystem\n(S'ls'\ntR.", b"(lp0\nh\x07."):
        (tmp_path / "beats.pt").write_bytes(content)
        with pytest.raises(ValueError, match="is truncated, or holds more than tensors"):
            from_beats(tmp_path / "beats.pt")
    torch.save({"model": {}}, tmp_path / "beats.pt")
    with pytest.raises(ValueError, match="no entries 'cfg' and 'model'.* of any other model give the folder"):
        read_public(tmp_path / "beats.pt")


def test_models_and_tokenizers_of_another_kind(published: Publish) -> None:
    with pytest.raises(ValueError, match="Linear has no config of transformers"):
        from_transformers(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="Linear, expected a BEiT of timm"):
        from_timm(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"no weights called \['patch_embed.proj.weight'"):
        from_timm(published())
    with torch.device("meta"):
        empty = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match="2 weights of Linear are on the meta device, weight first"):
        from_object(empty, {})
    with pytest.raises(ValueError, match="tokenizer of type int, expected a fast tokenizer"):
        from_transformers(published(), tokenizer=3)


@pytest.mark.parametrize(
    ("told", "bases"),
    [
        ({}, (160_000.0, 10_000.0)),
        ({"global_rope_theta": 500.0}, (500.0, 10_000.0)),
        ({"global_rope_theta": 500.0, "local_rope_theta": None}, (500.0, 500.0)),
        ({"global_rope_theta": 500, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, (500.0, 1e4)),
        ({"rope_parameters": {"sliding_attention": {"rope_theta": 20}}, "rope_scaling": None}, (160_000.0, 20.0)),
    ],
)  # fmt: skip
def test_bases_of_old_and_new_modernberts(told: dict, bases: tuple[float, float]) -> None:
    config = modernbert.translate(PublicModel(Fields(MODERN | told, "the model"), {})).config
    assert (config.positions.rotary, config.positions.local_base) == bases


def test_tensors_that_a_configuration_cannot_take_apart() -> None:
    config = MODERN | {"tie_word_embeddings": True, "num_hidden_layers": 1, "head_dim": 20}
    names = ["embed_tokens", "norm", "layers.0.input_layernorm", "layers.0.post_attention_layernorm"]
    names += [f"layers.0.self_attn.{part}_proj" for part in "qkvo"]
    names += [f"layers.0.mlp.{part}_proj" for part in ("gate", "up", "down")]
    weights = {f"{name}.weight": torch.zeros(8, 8) for name in names}
    with pytest.raises(
        ValueError, match=r"the model do not fit .*q_proj.weight of shape \(8, 8\), .* cannot become"
    ):
        eurobert.translate(PublicModel(Fields(config, "the model"), weights)).build()


def test_samples_longer_than_the_position_table(published: Publish) -> None:
    pipeline = from_transformers(published())
    with pytest.raises(
        ValueError, match="has 15 pieces, expected at most 14, as many as the model has positions"
    ):
        pipeline.extract_features({"text": ["the " * 15]})
    pair = [{"text": [torch.full((8, 1), 5), torch.full((9, 1), 5)]}]
    sequence = pack(TokenBatch.from_samples(pair, pipeline.vocabulary.modalities), pipeline.vocabulary)
    with pytest.raises(ValueError, match="a sample has 20 rows, expected at most 16"):
        pipeline.model(sequence)


MODERN = {
    "vocab_size": 11,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
}
NEO = {**MODERN, "max_length": 9}
VISION = {k: v for k, v in MODERN.items() if k != "vocab_size"}
SOUND = {
    "encoder_embed_dim": 8, "embed_dim": 4, "encoder_layers": 1, "encoder_attention_heads": 2,
    "encoder_ffn_embed_dim": 8, "input_patch_size": 16, "relative_position_embedding": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "config", "message"),
    [
        (modernbert, MODERN | {"layer_types": ["sliding_attention", "full_attention"] * 2}, "every k-th layer"),
        (modernbert, MODERN | {"layer_types": ["chunked_attention"] * 4}, "one of 'full_attention' and 'sliding"),
        (modernbert, MODERN | {"layer_types": ["full_attention"]}, "num_hidden_layers=4; expected one of"),
        (modernbert, MODERN | {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "rope_type 'default'"),
        (modernbert, MODERN | {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling=.*'default'"),
        (eurobert, MODERN | {"rope_parameters": {"rope_type": "linear"}}, "rope_type 'default'"),
        (eurobert, MODERN | {"rope_scaling": {"type": "dynamic"}}, "rope_scaling"),
        (neobert, NEO | {"rope": False}, "rope=False"),
        (neobert, NEO | {"ngpt": True}, "ngpt=True"),
        (neobert, NEO | {"hidden_act": "gelu"}, "hidden_act='gelu'.*'SwiGLU' or 'swiglu'"),
        (neobert, MODERN, "lacks 'max_length'"),
        (beit, VISION | {f"use_{k}relative_position_bias": True for k in ("", "shared_")}, "use_shared_rel"),
        (beit, VISION | {"image_size": 20}, "multiples of patch_size=16"),
        (beit, VISION | {"image_size": [16, 32], "use_relative_position_bias": True}, "expected square images"),
        (beit, VISION | {"image_size": (16, 64), "use_absolute_position_embeddings": True}, "expected square images"),
        (beats, SOUND | {"embed_dim": 8}, "embed_dim=8 and encoder_embed_dim=8"),
        (beats, SOUND | {"conv_bias": True}, "conv_bias=True"),
        (beats, SOUND | {"relative_position_embedding": False}, "relative_position_embedding=False"),
        (beats, SOUND | {"activation_fn": "glu"}, "activation_fn='glu'"),
    ],
)  # fmt: skip
def test_architectures_refuse_what_they_cannot_express(module, config: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        module.translate(PublicModel(Fields(config, "the model"), {}))
