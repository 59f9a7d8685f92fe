"""BEiT of transformers and of timm, random weights, against their imports: every layer, masked-image logits."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from maskmm.checkpoint import save_checkpoint
from maskmm.interop import from_timm, from_transformers
from maskmm.pipeline import Pipeline, load
from maskmm.sequence import TokenSequence, pack
from tests.parity.hidden_states import TOLERANCE, largest_difference, stir

transformers = pytest.importorskip("transformers")
timm = pytest.importorskip("timm")

IMAGES = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(3))
IS_MASKED = torch.rand(3, 9, generator=torch.Generator().manual_seed(4)) < 0.4


def packed(pipeline: Pipeline, is_masked: Tensor | None = None, images: Tensor = IMAGES) -> TokenSequence:
    """[CLS] and the patches of each image; masked patches carry the mask's id."""
    batch = pipeline._codec.samples({"image": images}, pipeline.vocabulary.modalities, {"image"})
    sequence = pack(batch, pipeline.vocabulary)
    if is_masked is None:
        return sequence
    kind = torch.zeros_like(sequence.ids)
    kind[sequence.segment >= 0] = is_masked.flatten()[:, None].long()
    return sequence.hide(kind)


def rows(x_BLD: Tensor) -> Tensor:
    return x_BLD.flatten(0, 1)


def normalised() -> Tensor:
    return IMAGES * 2 - 1


SMALL = {
    "vocab_size": 31, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 50,
    "image_size": 24, "patch_size": 8,
}  # fmt: skip
KINDS = [
    {"use_shared_relative_position_bias": True, "use_mask_token": True},
    {"use_relative_position_bias": True, "layer_scale_init_value": 0.0, "use_mask_token": True},
    {
        "use_absolute_position_embeddings": True,
        "use_relative_position_bias": True,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-5,
    },
    {"num_attention_heads": 2, "num_hidden_layers": 1},
]


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("options", KINDS)
def test_transformers_beit(options: dict, is_folder: bool, tmp_path: Path) -> None:
    config = transformers.BeitConfig(**SMALL | options)
    theirs = stir(transformers.BeitForMaskedImageModeling(config))
    if is_folder:
        theirs.save_pretrained(tmp_path)
    pipeline = from_transformers(tmp_path if is_folder else theirs)
    is_masked = IS_MASKED if config.use_mask_token else None
    with torch.no_grad():
        out = theirs(normalised(), is_masked, output_hidden_states=True)
        layers = [rows(x) for x in out.hidden_states]
        layers[-1] = theirs.layernorm(layers[-1])
    sequence = packed(pipeline, is_masked)
    is_patch = (sequence.segment >= 0).nonzero().flatten()
    found = largest_difference(pipeline.model, sequence, layers, rows(out.logits), "image", is_patch)
    assert found <= TOLERANCE
    with pytest.raises(ValueError, match="expected a tokenizer that makes codes of this model's kind"):
        pipeline.encode({"image": IMAGES})


@pytest.mark.parametrize("use_mean_pooling", [False, True])
def test_transformers_beit_without_head(use_mean_pooling: bool, tmp_path: Path) -> None:
    config = transformers.BeitConfig(
        **SMALL, use_mean_pooling=use_mean_pooling, use_relative_position_bias=True
    )
    theirs = stir(transformers.BeitModel(config))
    pipeline = from_transformers(theirs)
    with torch.no_grad():
        hidden = theirs(normalised()).last_hidden_state
    save_checkpoint(tmp_path / "ours", pipeline.model, pipeline.tokenizers)
    for one in (pipeline, load(tmp_path / "ours")):
        found = one.extract_features({"image": IMAGES}, pool="map")["image"]
        assert found.shape == (3, 3, 3, 32)
        torch.testing.assert_close(found.flatten(1, 2), hidden[:, 1:], atol=TOLERANCE, rtol=0)
        cls = one.extract_features({"image": IMAGES}, pool="cls")["image"]
        torch.testing.assert_close(cls, hidden[:, 0], atol=TOLERANCE, rtol=0)
    assert pipeline.encode({"image": IMAGES})["image"].shape == (3, 3, 3, 0)


def test_normalisation_is_what_the_publisher_says(tmp_path: Path) -> None:
    theirs = stir(transformers.BeitModel(transformers.BeitConfig(**SMALL | {"num_channels": 1})))
    theirs.save_pretrained(tmp_path)
    images = IMAGES[:, :1]
    told: list[tuple[dict, Tensor]] = [
        ({"image_mean": [0.2], "image_std": 0.4}, (images - 0.2) / 0.4),
        ({"image_mean": [0.2], "image_std": [0.4], "do_normalize": False}, images),
    ]
    for preprocessing, inputs in told:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessing))
        with torch.no_grad():
            hidden = theirs(inputs).last_hidden_state
        found = from_transformers(tmp_path).extract_features({"image": images}, pool="cls")["image"]
        torch.testing.assert_close(found, hidden[:, 0], atol=TOLERANCE, rtol=0)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.2] * 3}))
    with pytest.raises(ValueError, match="mean=.* expected 1 values, one for each channel"):
        from_transformers(tmp_path)


def test_a_segmentation_model_leaves_its_decoder_behind() -> None:
    config = transformers.BeitConfig(**SMALL | {"num_hidden_layers": 12}, out_indices=[3, 5, 7, 11])
    theirs = stir(transformers.BeitForSemanticSegmentation(config))
    with torch.no_grad():
        hidden = theirs.beit(normalised()).last_hidden_state
    found = from_transformers(theirs).extract_features({"image": IMAGES}, pool="cls")["image"]
    torch.testing.assert_close(found, hidden[:, 0], atol=TOLERANCE, rtol=0)


def block_outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """What enters the first block and leaves each, by hooks."""
    seen: list[Tensor] = []
    handles = [model.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))]
    handles += [b.register_forward_hook(lambda _, args, out: seen.append(out)) for b in model.blocks]
    with torch.no_grad():
        final = model.forward_features(images)
    for handle in handles:
        handle.remove()
    return [rows(x) for x in (*seen[:-1], final)]


@pytest.mark.parametrize(
    "options",
    [
        {"use_rel_pos_bias": True, "init_values": 0.1},
        {"use_shared_rel_pos_bias": True, "init_values": None, "global_pool": "token"},
        {"use_abs_pos_emb": True, "qkv_bias": False, "num_classes": 0},
        {"use_rel_pos_bias": True, "img_size": (16, 40), "in_chans": 1},
        {"norm_layer": partial(nn.LayerNorm, eps=1e-2)},
    ],
)
def test_timm_beit(options: dict) -> None:
    shape = {"img_size": 24, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4, "num_classes": 5}
    defaults = {"use_abs_pos_emb": False}
    theirs = stir(timm.models.beit.Beit(**shape | defaults | options))
    pipeline = from_timm(torch.compile(theirs))
    size = theirs.patch_embed.img_size
    images = IMAGES.new_empty(3, options.get("in_chans", 3), *size).uniform_(
        generator=torch.Generator().manual_seed(5)
    )
    layers = block_outputs(theirs, images * 2 - 1)
    assert largest_difference(pipeline.model, packed(pipeline, images=images), layers) <= TOLERANCE


def test_timm_beit_by_name_and_folder(tmp_path: Path) -> None:
    theirs = timm.create_model("beitv2_base_patch16_224", depth=2, img_size=24, patch_size=8)
    theirs = stir(theirs)
    timm.models.save_for_hf(theirs, tmp_path)
    pipeline = from_timm(tmp_path)
    mean, std = (torch.tensor(theirs.pretrained_cfg[k])[:, None, None] for k in ("mean", "std"))
    layers = block_outputs(theirs, (IMAGES - mean) / std)
    assert largest_difference(pipeline.model, packed(pipeline), layers) <= TOLERANCE
    assert pipeline.extract_features({"image": IMAGES})["image"].shape == (3, 768)
