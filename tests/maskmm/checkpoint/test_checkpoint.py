"""A folder is whole and what it says it is, or it is refused with both sides named."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from maskmm.checkpoint import load_checkpoint, save_checkpoint
from maskmm.checkpoint.manifest import file_sha256
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(folder: Path, edit) -> None:
    path = folder / "models/main/model.safetensors"
    weights = load_file(path)
    edit(weights)
    save_file(weights, path)
    config = json.loads((folder / "config.json").read_text())
    config["models"]["main"]["sha256"] = file_sha256(path)
    (folder / "config.json").write_text(json.dumps(config))


def test_what_is_saved_is_what_is_loaded(toy_folder, toy_model, toy_tokenizers) -> None:
    checkpoint = load_checkpoint(toy_folder)
    assert checkpoint.vocabulary == toy_model.vocabulary
    assert checkpoint.models["main"].config == toy_model.config
    assert checkpoint.generation == {"image": {"num_steps": 3}}
    assert not checkpoint.models["main"].training
    for key, value in toy_model.state_dict().items():
        assert torch.equal(checkpoint.models["main"].state_dict()[key], value)
    assert {n: t.fingerprint() for n, t in checkpoint.tokenizers.items()} == {
        n: t.fingerprint() for n, t in toy_tokenizers.items()
    }
    assert checkpoint.sha256 == file_sha256(toy_folder / "config.json")


def test_the_folder_describes_itself(toy_folder, toy_tokenizers) -> None:
    config = json.loads((toy_folder / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["modalities"] == [
        *({"name": n, "tokenizer": t.fingerprint()} for n, t in toy_tokenizers.items()),
        {"name": "text.length", "length_of": "text"},
        {"name": "speech.length", "length_of": "speech"},
    ]
    assert config["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "codebook_size" not in json.dumps(config), "specs are told by the tokenizers' folders alone"


def test_several_models_of_one_vocabulary(toy_model, toy_tokenizers, tmp_path) -> None:
    critic = MaskedTransformer(
        toy_model.vocabulary,
        TransformerConfig(
            width=8, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=8)
        ),
    )
    save_checkpoint(tmp_path / "two", {"main": toy_model, "critic": critic}, toy_tokenizers)
    assert load_checkpoint(tmp_path / "two").models["critic"].config == critic.config


def test_mask_kinds_and_aliases_are_kept(toy_tokenizers, tmp_path) -> None:
    vocabulary = Vocabulary(
        [Modality("text", toy_tokenizers["text"].spec)], num_mask_kinds=3, aliases={"[CLS]": ("text", 5)}
    )
    model = MaskedTransformer(
        vocabulary,
        TransformerConfig(
            width=8, depth=1, attention=AttentionConfig(num_heads=1), ffn=FeedForwardConfig(width=8)
        ),
    )
    save_checkpoint(tmp_path / "run", model, {"text": toy_tokenizers["text"]})
    assert load_checkpoint(tmp_path / "run").vocabulary == vocabulary


def test_saving_again_replaces_the_checkpoint_and_nothing_else(toy_folder, toy_model, toy_tokenizers) -> None:
    (toy_folder / "scores.json").write_text("{}")
    with torch.no_grad():
        toy_model.head_bias.fill_(0.5)
    save_checkpoint(toy_folder, toy_model, toy_tokenizers)
    assert load_checkpoint(toy_folder).models["main"].head_bias.eq(0.5).all()
    assert sorted(p.name for p in toy_folder.iterdir()) == [
        "config.json",
        "models",
        "scores.json",
        "tokenizers",
    ]
    assert [p.name for p in toy_folder.parent.iterdir()] == [toy_folder.name]


def test_foreign_folders_are_not_replaced(toy_model, toy_tokenizers, tmp_path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(ValueError, match="is no checkpoint"):
        save_checkpoint(tmp_path, toy_model, toy_tokenizers)
    assert (tmp_path / "models").is_dir()


def test_tokenizers_may_be_there_before_the_model(toy_model, toy_tokenizers, tmp_path) -> None:
    for name, tokenizer in toy_tokenizers.items():
        tokenizer.save(tmp_path / "tokenizers" / name)
    save_checkpoint(tmp_path, toy_model, toy_tokenizers)
    loaded = load_checkpoint(tmp_path)
    assert {name: t.fingerprint() for name, t in loaded.tokenizers.items()} == {
        name: t.fingerprint() for name, t in toy_tokenizers.items()
    }


def test_interrupted_saving_leaves_nothing_that_loads(
    toy_folder, toy_model, toy_tokenizers, monkeypatch
) -> None:
    def fail(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", fail)
    fresh = toy_folder.parent / "fresh"
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(fresh, toy_model, toy_tokenizers)
    assert not fresh.exists()
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(toy_folder, toy_model, toy_tokenizers)
    with pytest.raises(ValueError, match="half-written"):
        load_checkpoint(toy_folder)
    monkeypatch.undo()
    save_checkpoint(toy_folder, toy_model, toy_tokenizers)
    load_checkpoint(toy_folder)


def test_another_format_version_names_who_can_read_it(toy_folder) -> None:
    change_config(toy_folder, format_version=7, packages={"maskmm": "3.1.0"})
    with pytest.raises(ValueError, match=r"format_version 7.*reads 1.*written by maskmm 3\.1\.0"):
        load_checkpoint(toy_folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format_version": 1}', '{"format_version": 1, "packages": {}}']
)
def test_a_damaged_config_is_refused(toy_folder, text) -> None:
    (toy_folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match="not the config.json of a checkpoint .*; copy the folder again"):
        load_checkpoint(toy_folder)


def test_weights_that_do_not_fit_are_listed_by_name(toy_folder) -> None:
    def edit(weights: dict[str, torch.Tensor]) -> None:
        del weights["norm.weight"]
        weights["surplus"] = torch.zeros(1)
        weights["head_bias"] = torch.zeros(3)

    change_weights(toy_folder, edit)
    with pytest.raises(ValueError, match=r"missing norm\.weight; extra surplus; head_bias of shape \(3,\)"):
        load_checkpoint(toy_folder)


def test_changed_weights_are_refused(toy_folder) -> None:
    path = toy_folder / "models/main/model.safetensors"
    weights = load_file(path)
    save_file({k: v + 1 for k, v in weights.items()}, path)
    with pytest.raises(ValueError, match="SHA-256"):
        load_checkpoint(toy_folder)


def test_truncated_weights_are_refused(toy_folder) -> None:
    path = toy_folder / "models/main/model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="truncated"):
        load_checkpoint(toy_folder)


@pytest.mark.parametrize(
    "name", ["config.json", "models/main/model.safetensors", "tokenizers/image/config.json"]
)
def test_half_copied_folders_are_refused(toy_folder, name) -> None:
    (toy_folder / name).unlink()
    with pytest.raises(ValueError, match="does not exist"):
        load_checkpoint(toy_folder)


def test_another_tokenizer_is_refused_with_both_fingerprints(toy_folder, toy_tokenizers) -> None:
    right = toy_tokenizers["image"].fingerprint()
    toy_tokenizers["image"].shift.fill_(0.1)
    toy_tokenizers["image"].save(toy_folder / "tokenizers/image")
    wrong = toy_tokenizers["image"].fingerprint()
    with pytest.raises(ValueError, match=f"fingerprint {wrong}.*trained with {right}"):
        load_checkpoint(toy_folder)


def test_a_given_tokenizer_is_used_if_its_spec_fits(toy_folder, toy_tokenizers, caplog) -> None:
    mine = toy_tokenizers["image"]
    mine.shift.fill_(0.1)
    assert load_checkpoint(toy_folder, {"image": mine}).tokenizers["image"] is mine
    assert mine.fingerprint() in caplog.text
    with pytest.raises(ValueError, match="codebook_size=4.*expected.*codebook_size=8"):
        load_checkpoint(toy_folder, {"image": type(mine)(levels=4)})
    with pytest.raises(ValueError, match="video"):
        load_checkpoint(toy_folder, {"video": mine})


def test_no_class_is_imported_because_a_file_says_so(toy_folder) -> None:
    path = toy_folder / "tokenizers/image/config.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"class_path": "antigravity.Tokenizer"}))
    with pytest.raises(ValueError, match="antigravity"):
        load_checkpoint(toy_folder)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("class_path", ["os.system", "torch.nn.Linear", "maskmm.pipeline.Pipeline"])
def test_foreign_model_classes_are_refused(toy_folder, class_path) -> None:
    config = json.loads((toy_folder / "config.json").read_text())
    config["models"]["main"]["class_path"] = class_path
    change_config(toy_folder, models=config["models"])
    with pytest.raises(ValueError, match=class_path):
        load_checkpoint(toy_folder)


def test_a_user_class_is_admitted(toy_folder, toy_model, toy_tokenizers) -> None:
    class Mine(MaskedTransformer):
        pass

    mine = Mine(toy_model.vocabulary, toy_model.config)
    save_checkpoint(toy_folder, mine, toy_tokenizers)
    assert type(load_checkpoint(toy_folder, allow=[Mine]).models["main"]) is Mine


def test_modalities_and_tokenizers_must_agree(toy_model, toy_tokenizers, tmp_path) -> None:
    text = {"text": toy_tokenizers["text"]}
    with pytest.raises(ValueError, match="'image' has no tokenizer"):
        save_checkpoint(tmp_path / "run", toy_model, text)
    with pytest.raises(ValueError, match="video"):
        save_checkpoint(tmp_path / "run", toy_model, toy_tokenizers | {"video": toy_tokenizers["image"]})
    with pytest.raises(ValueError, match="generation defaults for"):
        save_checkpoint(tmp_path / "run", toy_model, toy_tokenizers, {"video": {}})
    with pytest.raises(ValueError, match="main"):
        save_checkpoint(tmp_path / "run", {"critic": toy_model}, toy_tokenizers)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["..", "a/b", ""])
def test_names_cannot_leave_the_folder(toy_folder, name) -> None:
    config = json.loads((toy_folder / "config.json").read_text())
    change_config(toy_folder, models={"main": config["models"]["main"], name: config["models"]["main"]})
    with pytest.raises(ValueError, match="model name"):
        load_checkpoint(toy_folder)


def test_a_tokenizer_folder_is_no_checkpoint(toy_folder) -> None:
    with pytest.raises(ValueError, match="holds a tokenizer; give the folder of a whole checkpoint"):
        load_checkpoint(toy_folder / "tokenizers" / "image")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"width": "a"}, "width='a', expected int"), ({"width": 33}, "width=33"), ({"wdith": 32}, "wdith")],
)
def test_a_damaged_architecture_names_the_file(toy_folder, change, message) -> None:
    path = toy_folder / "config.json"
    data = json.loads(path.read_text())
    data["models"]["main"]["config"] |= change
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=f"config.json, config of model 'main': .*{message}.*; copy"):
        load_checkpoint(toy_folder)


def test_a_damaged_tokenizer_is_named(toy_folder) -> None:
    (toy_folder / "tokenizers/image/config.json").write_text('{"format_version": 7}')
    with pytest.raises(ValueError, match="tokenizer 'image' of .*format_version 7, this version"):
        load_checkpoint(toy_folder)


def test_a_folder_around_a_checkpoint_says_where_it_is(toy_folder, tmp_path) -> None:
    quickstart = tmp_path / "quickstart"
    quickstart.mkdir()
    toy_folder.rename(quickstart / "model")
    with pytest.raises(ValueError, match=rf"holds a checkpoint in {quickstart}/model; give that"):
        load_checkpoint(quickstart)
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    with pytest.raises(ValueError, match=rf"maskmm export {tmp_path}/run/checkpoints/last.ckpt --out DIR"):
        load_checkpoint(tmp_path / "run")
