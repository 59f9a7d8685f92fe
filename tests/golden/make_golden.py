"""Writes a golden folder: a tiny checkpoint of the current format, with codes that it generated.

Run once for each new format version, never again for an old one: python tests/golden/make_golden.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from maskmm.checkpoint import FORMAT_VERSION, save_checkpoint
from maskmm.model import MaskedTransformer, TransformerConfig
from maskmm.nn.config import AttentionConfig, FeedForwardConfig
from maskmm.pipeline import Pipeline
from maskmm.vocabulary import Vocabulary, with_length_modalities
from tokenizers_vq.audio.mel import MelVQ
from tokenizers_vq.contract import Modality
from tokenizers_vq.image import ImageVQ
from tokenizers_vq.text import WordPieceText

TEXTS = ["a seven", "the digit two"]


def main() -> None:
    torch.manual_seed(0)
    tokenizers = {
        "image": ImageVQ(image_size=16, width=8, num_blocks=1, codebook_size=16, code_dim=4),
        "text": WordPieceText(["[UNK]", "a", "the", "digit", "two", "seven", "##s"], max_length=6),
        "speech": MelVQ(
            max_length=8, width=8, codebook_size=8, code_dim=4, num_codebooks=2, griffin_lim_steps=2
        ),
    }
    modalities = with_length_modalities([Modality(name, t.spec) for name, t in tokenizers.items()])
    config = TransformerConfig(
        width=16,
        depth=2,
        attention=AttentionConfig(num_heads=1),
        ffn=FeedForwardConfig(width=24),
        init_std=0.4,
    )
    model = MaskedTransformer(Vocabulary(modalities), config)
    folder = Path(__file__).parent / f"format_v{FORMAT_VERSION}"
    save_checkpoint(folder, model, tokenizers, {"image": {"num_steps": 4, "guidance_scale": 2.0}})
    pipeline = Pipeline(model, tokenizers, {"image": {"num_steps": 4, "guidance_scale": 2.0}})
    # Temperature 0 without noise: the codes then do not hang on the last bits of a kernel's sums.
    settings = {"temperature": 0.0, "noise_temperature": 0.0, "length_temperature": 0.0}
    out = pipeline.generate({"text": TEXTS}, ["image", "speech"], **settings)
    features = pipeline.extract_features({"text": TEXTS})["text"]
    speech = {f"speech.{i}": codes.to(torch.uint8) for i, codes in enumerate(out.codes["speech"])}
    expected = {"image": out.codes["image"].to(torch.uint8), "text.features": features, **speech}
    save_file(expected, folder / "expected.safetensors")


if __name__ == "__main__":
    main()
