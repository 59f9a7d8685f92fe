"""`maskmm doctor` on checkpoints and configs, healthy and not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from datamodules.store import TokenItems, write_store
from maskmm.checkpoint import save_checkpoint
from maskmm.cli.checks import check_round_trip, random_codes
from maskmm.cli.main import main
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig
from maskmm.vocabulary import Vocabulary
from tokenizers_vq.contract import Modality
from tokenizers_vq.image_patches import ImagePatches

CONFIG = """
modalities:
  - {{name: image, tokenizer: {tokenizers}/image}}
  - {{name: text, tokenizer: {tokenizers}/text}}
model:
  class_path: maskmm.module.MaskedModule
  init_args: {{transformer: {{width: 16, depth: 1, attention: {{num_heads: 1}}, ffn: {{width: 16}}}}}}
data:
  class_path: datamodules.tokens.PairedTokens
  init_args:
    store: {store}
    batch_size: 20
    collate:
      class_path: maskmm.packing.Packer
      init_args: {{masking: {{class_path: maskmm.masking.any_to_any.AnyToAnyMasking}}}}
trainer: {{max_steps: 2, accelerator: cpu}}
"""


@pytest.fixture
def config(toy_tokenizers, toy_pipeline, toy_media, tmp_path) -> Path:
    codes = toy_pipeline.encode({name: toy_media[name] for name in ("image", "text")})
    items = {}
    for name, batch in codes.items():
        toy_tokenizers[name].save(tmp_path / "tokenizers" / name)
        spec, print_ = toy_tokenizers[name].spec, toy_tokenizers[name].fingerprint()
        items[name] = TokenItems.from_codes(list(batch), torch.tensor([0, 1, 0, 1, 0]), spec, print_)
    write_store(tmp_path / "store" / "train", items, {})
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(tokenizers=tmp_path / "tokenizers", store=tmp_path / "store"))
    return path


def table(capsys) -> dict[str, tuple[str, str]]:
    lines = capsys.readouterr().out.splitlines()
    return {line[6:].split("  ")[0]: (line[:4].strip(), line[6:].split("  ", 1)[1].strip()) for line in lines}


def test_a_healthy_checkpoint(toy_folder, capsys) -> None:
    assert main(["doctor", str(toy_folder)]) == 0
    found = table(capsys)
    assert {verdict for verdict, _ in found.values()} == {"ok"}
    assert (
        found["image round trip"][1]
        == "16 of 16 samples readable again, codes kept 1.000, media error 0.0000"
    )
    assert "ToySpeech, 2 x 4 codes on t up to 10" in found["speech tokenizer"][1]


def test_a_damaged_checkpoint(toy_folder, toy_tokenizers, capsys) -> None:
    toy_tokenizers["image"].shift.fill_(0.5)
    toy_tokenizers["image"].save(toy_folder / "tokenizers/image")
    assert main(["doctor", str(toy_folder)]) == 2
    assert table(capsys)["checkpoint"][0] == "FAIL"


def test_a_healthy_config(config, capsys, caplog) -> None:
    assert main(["doctor", str(config)]) == 0
    assert not [record for record in caplog.records if record.name.startswith("lightning")]
    found = table(capsys)
    assert found["config"][1] == "MaskedModule on PairedTokens"
    assert "20 samples" in found["data"][1]
    assert (
        found["text round trip"][1] == "16 of 16 samples readable again, codes kept 1.000, media error 0.0000"
    )


def test_the_config_that_a_run_wrote(config, capsys) -> None:
    config.write_text(config.read_text() + "ckpt_path: null\nweights_only: null\n")
    assert main(["doctor", str(config)]) == 0
    assert table(capsys)["config"] == ("ok", "MaskedModule on PairedTokens")


def test_codes_of_another_tokenizer(config, toy_tokenizers, tmp_path, capsys) -> None:
    toy_tokenizers["image"].shift.fill_(0.5)
    toy_tokenizers["image"].save(tmp_path / "tokenizers" / "image")
    assert main(["doctor", str(config)]) == 2
    found = table(capsys)
    assert found["image fingerprint"][0] == "FAIL" and found["text fingerprint"][0] == "ok"
    assert "codes kept 1.000" not in found["image round trip"][1]


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (lambda c: c["model"]["init_args"].update(widht=3), "config", "widht"),
        (lambda c: c["model"].update(class_path="maskmm.module.NoSuch"), "config", "NoSuch"),
        (lambda c: c["modalities"][0].update(tokenizer="/no/such"), "config", "/no/such"),
        (lambda c: c["data"]["init_args"].update(store="/no/such"), "data", "/no/such"),
    ],
)
def test_mistakes_in_a_config(config, capsys, change, line, message) -> None:
    data = yaml.safe_load(config.read_text())
    change(data)
    config.write_text(json.dumps(data))
    assert main(["doctor", str(config)]) == 2
    verdict, detail = table(capsys)[line]
    assert verdict == "FAIL" and message in detail


def test_a_file_that_is_not_there(capsys) -> None:
    assert main(["doctor", "no_such.yaml"]) == 2
    assert "no_such.yaml" in table(capsys)["config"][1]


def test_a_tokenizer_config(tmp_path, capsys) -> None:
    path = tmp_path / "config.yaml"
    tokenizer = {"class_path": "tokenizers_vq.image.ImageVQ", "init_args": {"width": 8, "codebook_size": 16}}
    model = {"class_path": "tokenizers_vq.training.TokenizerModule", "init_args": {"tokenizer": tokenizer}}
    data = {"class_path": "datamodules.media.DigitImages", "init_args": {"batch_size": 20}}
    trainer = {"max_steps": 2, "accelerator": "cpu"}
    path.write_text(json.dumps({"model": model, "data": data, "trainer": trainer}))
    assert main(["doctor", str(path)]) == 0
    found = table(capsys)
    assert "16 samples, media error" in found["round trip"][1]
    assert "(20, 1, 32, 32)" in found["data"][1]


@pytest.mark.parametrize(("codebook_size", "lacking"), [(0, "codes"), (11, "decoder")])
def test_modalities_that_are_only_read(codebook_size: int, lacking: str, tmp_path, capsys) -> None:
    patches = ImagePatches((8, 8), 4, codebook_size=codebook_size)
    config = TransformerConfig(
        width=16, depth=1, attention=AttentionConfig(num_heads=2), input_widths={"image": 48}
    )
    model = MaskedTransformer(Vocabulary([Modality("image", patches.spec)]), config)
    save_checkpoint(tmp_path / "model", model, {"image": patches})
    assert main(["doctor", str(tmp_path / "model")]) == 0
    assert table(capsys)["image generation"][1] == f"none: ImagePatches has no {lacking}"
    without = check_round_trip("image", patches, random_codes(patches), is_real=True)
    assert without.is_ok and without.detail.startswith("none: ImagePatches has no")


def test_unreadable_media_fail_only_where_they_are_real(toy_tokenizers) -> None:
    speech = toy_tokenizers["speech"]
    speech.encode = lambda media, lengths=None: (_ for _ in ()).throw(ValueError("cannot read"))
    codes = random_codes(speech)
    assert len(codes) == 16 and codes[0].shape == (10, 2)
    real, generated = (check_round_trip("speech", speech, codes, is_real) for is_real in (True, False))
    assert not real.is_ok and generated.is_ok and "0 of 16" in real.detail and "cannot read" in real.detail
