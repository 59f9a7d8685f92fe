"""A trained masked model as the teacher of a tokenizer: the next iteration of BEATs.

Chen et al., "BEATs: Audio Pre-Training with Acoustic Tokenizers" (2023), section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from maskmm.pipeline.front import Pipeline, load


class MaskedTeacher(nn.Module):
    """Media of one modality -> features (*shape, D) of each sample's tokens: the last layer's, nothing masked.

    Given to a tokenizer as `teacher`, e.g. to `tokenizers_vq.audio.distilled.DistilledAcoustic`, whose patches the
    model's own tokenizer must share. In a config `folder` names the model, elsewhere a pipeline will do.

    Args:
        folder: a checkpoint folder, or a pipeline.
        modality: whose media come; the model's only one where not given.
        layer: 0 = embedding, i = block i, -1 = last block after the last norm.
        batch_size: samples in one packed forward.
        allow: further classes that the folder may name.

    Raises:
        ValueError: see `maskmm.load`; a modality that the model lacks, or none named where it has several.
    """

    def __init__(
        self,
        folder: Path | str | Pipeline,
        modality: str | None = None,
        layer: int = -1,
        batch_size: int = 64,
        allow: Iterable[type] = (),
    ) -> None:
        super().__init__()
        pipeline = folder if isinstance(folder, Pipeline) else load(folder, allow=allow)
        names = sorted(pipeline.tokenizers)
        if modality not in names and (modality is not None or len(names) != 1):
            raise ValueError(f"modality={modality!r}: expected one of the model's, {names}")
        self.modality, self.layer, self.batch_size = modality or names[0], layer, batch_size
        # Registered, so that they move with the tokenizer that learns.
        self.model, self.tokenizers = pipeline.model, nn.ModuleDict(pipeline.tokenizers)
        self._pipeline = pipeline

    def forward(self, media: Sequence[Any]) -> list[Tensor]:
        """Features of each sample, float32 on the CPU.

        Raises:
            ValueError: media that the model's tokenizer refuses, or a layer that the model lacks.
        """
        found = self._pipeline.extract_features(
            {self.modality: media}, [self.layer], pool="map", batch_size=self.batch_size
        )
        return list(found[self.modality])
