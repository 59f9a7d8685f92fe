"""`maskmm.load` and the Pipeline: a model together with the tokenizers of its modalities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from maskmm.checkpoint import load_checkpoint, resolve_folder
from maskmm.decoding import IterativeDecoder
from maskmm.features import FeatureExtractor, Features, Pool, join_features
from maskmm.model import MaskedTransformer
from maskmm.nn.int8 import is_quantized, quantize
from maskmm.pipeline.codec import Codec
from maskmm.pipeline.device import check_device
from maskmm.pipeline.editing import Edit
from maskmm.pipeline.inputs import check_inputs, check_names, chunks, join, part
from maskmm.pipeline.output import GenerationOutput
from maskmm.pipeline.request import GenerationRequest, Lengths, request_size
from maskmm.pipeline.settings import GenerationSettings
from tokenizers_vq.contract import Codes, Tokenizer

Precision = Literal["float32", "int8"]


def load(
    folder: Path | str,
    tokenizers: Mapping[str, Tokenizer] | None = None,
    allow: Iterable[type] = (),
    device: torch.device | str | None = None,
    precision: Precision = "float32",
) -> Pipeline:
    """A pipeline in eval mode.

    Args:
        folder: a checkpoint folder, or the id of a repository on the Hugging Face hub.
        tokenizers: modality name -> tokenizer to use in place of the folder's own.
        allow: further tokenizer and model classes that the folder may name.
        device: where to; the CPU where not given.
        precision: "int8" runs the blocks' linear layers on int8 products, about twice as fast at width 768 for 2 % of
            error in the features; CPUs alone.

    Raises:
        ValueError: see `load_checkpoint`; or no such folder and the hub cannot be reached; or no such device or
            precision, or int8 elsewhere than on the CPU.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r}, expected one of {get_args(Precision)}")
    if precision == "int8" and device is not None and torch.device(device).type != "cpu":
        raise ValueError(f"precision='int8' on device={str(device)!r}: it is for CPUs; leave one of them out")
    checkpoint = load_checkpoint(resolve_folder(folder), tokenizers, allow)
    pipeline = Pipeline(
        checkpoint.models["main"], checkpoint.tokenizers, checkpoint.generation, checkpoint.sha256
    )
    if precision != "float32":
        pipeline.quantize()
    return pipeline if device is None else pipeline.to(device)


class Pipeline:
    """Media in, media or features out.

    A batch of media is a tensor (B, ...) or a list of B samples, as the modality's tokenizer takes it. What comes out
    does not depend on batch_size.

    Args:
        model: put into eval mode.
        tokenizers: modality name -> tokenizer; put into eval mode, on the model's device.
        generation_defaults: target -> settings of `generate` where the caller gives none.
        sha256: hash of the checkpoint's config.json, None for a model that comes from no folder.

    Raises:
        ValueError: a tokenizer whose spec is not the model's.
    """

    def __init__(
        self,
        model: MaskedTransformer,
        tokenizers: Mapping[str, Tokenizer],
        generation_defaults: Mapping[str, Mapping[str, Any]] | None = None,
        sha256: str | None = None,
    ) -> None:
        self.model = model.eval()
        self.vocabulary = model.vocabulary
        self.generation_defaults = {
            name: dict(values) for name, values in (generation_defaults or {}).items()
        }
        self.sha256 = sha256
        self._codec = Codec(tokenizers, model.vocabulary)
        self._codec.to(self.device)

    @property
    def tokenizers(self) -> Mapping[str, Tokenizer]:
        """Tokenizer of each modality."""
        return self._codec.tokenizers

    @property
    def device(self) -> torch.device:
        """Where model and tokenizers are."""
        return next(self.model.parameters()).device

    @property
    def precision(self) -> Precision:
        """Numbers that the blocks' linear layers multiply."""
        return "int8" if is_quantized(self.model) else "float32"

    def quantize(self) -> Pipeline:
        """Turn the blocks' linear layers to int8 in place, for inference on the CPU; returns the pipeline itself.

        Embeddings, norms, attention and heads stay in float32. The model can no longer be trained, saved or moved to
        a GPU; load it anew for that.
        """
        quantize(self.model.blocks)
        if self.model.decoder is not None:
            quantize(self.model.decoder.blocks)
        return self

    def to(self, device: torch.device | str) -> Pipeline:
        """Move the model and the tokenizers; returns the pipeline itself.

        Raises:
            ValueError: a device that this machine lacks, or a model that was quantized.
        """
        device = check_device(device)
        if self.precision == "int8" and device.type != "cpu":
            raise ValueError(f"the model was quantized to int8, which is for CPUs; load it anew for {device}")
        self.model.to(device)
        self._codec.to(device)
        return self

    def encode(self, media: Mapping[str, Any], batch_size: int = 64) -> dict[str, Codes]:
        """Codes of media, on the CPU.

        Args:
            media: modality name -> batch of media; the batches may differ in size.
            batch_size: samples a tokenizer sees at once.

        Returns:
            name -> (B, *grid, Q) int64 where the grid is fixed, else a list of B tensors (*shape, Q).

        Raises:
            ValueError: a modality that the checkpoint lacks, an empty batch, or media the tokenizer refuses.
        """
        return self._codec.encode(media, batch_size)

    def decode(self, codes: Mapping[str, Codes], batch_size: int = 64) -> dict[str, Any]:
        """Media of codes, tensors on the CPU; inverse in kind of `encode`.

        Raises:
            ValueError: a modality that the checkpoint lacks, an empty batch, or codes that do not fit its spec.
        """
        return self._codec.decode(codes, batch_size)

    def extract_features(
        self,
        inputs: Mapping[str, Any],
        layers: Sequence[int] = (-1,),
        pool: Pool | None = "mean",
        batch_size: int = 64,
    ) -> dict[str, Features]:
        """Features of media; modalities given together attend to each other.

        Args:
            inputs: modality name -> batch of media, all of B samples.
            layers: 0 = embedding, i = block i, -1 = last block after the last norm; several lie side by side.
            pool: "mean", "cls", "all", "tokens" (or None) or "map", see `FeatureExtractor`.
            batch_size: samples in one packed forward.

        Returns:
            {"image": (B, D)} and the like, float32 on the CPU; "joint" beside them where several are given.

        Raises:
            ValueError: a modality that the checkpoint lacks, batches that are empty or of different sizes, media the
                tokenizer refuses, an unknown pool or layer.
        """
        extractor = FeatureExtractor(self.model, layers, pool)
        check_inputs(inputs, self.tokenizers)
        size = request_size(inputs, {}, None)
        parts = []
        for chunk in chunks(size, batch_size):
            media, modalities = part(inputs, chunk), self.vocabulary.modalities
            parts.append(extractor(self._codec.samples(media, modalities, self.model.config.input_widths)))
        return join_features(parts)

    def generate(
        self,
        inputs: Mapping[str, Any],
        targets: Sequence[str],
        *,
        seed: int = 0,
        lengths: Mapping[str, Lengths] | None = None,
        edit: Mapping[str, Edit] | None = None,
        num_samples: int | None = None,
        sample_id: Sequence[int] | None = None,
        decoder: IterativeDecoder | None = None,
        batch_size: int = 64,
        target_settings: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> GenerationOutput:
        """Generate targets from inputs, one target after the other, each conditioned on all before it.

        Args:
            inputs: modality name -> batch of media, all of B samples; may be empty.
            targets: modality names, in the order in which they are generated.
            seed: the same seed gives the same result, at any batch_size.
            lengths: target -> tokens along its varying axis: one number, one a sample, or a LengthPolicy. Targets
                without one are given a length that the model samples.
            edit: target -> `Edit`: known media of which only a part is made anew (inpainting, continuation).
            num_samples: B, where there are neither inputs nor edits (unconditional generation).
            sample_id: B numbers that name the samples for the random numbers; 0 to B-1 where not given.
            decoder: used for every target in place of one made from the settings.
            batch_size: samples that are decoded at once.
            target_settings: target -> settings for it alone; they win over `settings`.
            **settings: fields of `GenerationSettings` (num_steps, guidance_scale, temperature, top_k, top_p, order,
                schedule ...). They win over the checkpoint's defaults for each target.

        Returns:
            target -> media, with `.codes`.

        Raises:
            ValueError: a modality that the checkpoint lacks, batches that are empty or of different sizes, media a
                tokenizer refuses, lengths or settings out of range.
        """
        check_inputs(inputs, self.tokenizers)
        check_names(targets, self.tokenizers, "targets")
        if not targets:
            raise ValueError(f"targets is empty, expected some of {sorted(self.tokenizers)}")
        defaults, own = self.generation_defaults, target_settings or {}
        if not own.keys() <= set(targets):
            raise ValueError(f"target_settings for {sorted(own)}, expected only targets: {list(targets)}")
        size = request_size(inputs, edit or {}, num_samples)
        request = GenerationRequest(
            inputs=inputs,
            targets=list(targets),
            settings={
                name: GenerationSettings.layered(defaults.get(name, {}), settings, own.get(name, {}))
                for name in targets
            },
            edit=edit or {},
            lengths=lengths or {},
            num_samples=size,
            sample_id=range(size) if sample_id is None else sample_id,
            seed=seed,
            decoder=decoder,
        )
        parts = list(request.codes(self.model, self._codec, batch_size))
        codes = {name: join([one[name] for one in parts]) for name in targets}
        return GenerationOutput(self.decode(codes, batch_size), codes, dict(request.settings))
