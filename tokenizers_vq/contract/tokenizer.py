"""The one interface of every tokenizer, and the folder it is saved in."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tokenizers_vq.contract.described import Described, arguments_of, find_class, path_of, rebuild
from tokenizers_vq.contract.spec import TokenSpec
from tokenizers_vq.contract.tensor_files import read_tensors

Codes = Tensor | list[Tensor]
"""(B, *grid, Q) where the spec is fixed, else a list of (*shape, Q), one a sample; int64."""

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Quantized:
    """The one return type of every quantizer.

    Attributes:
        latents: quantized vectors, same shape as the input; gradients pass straight through.
        codes: (..., Q) int64.
        loss: scalar, the quantizer's own losses, weighted.
        metrics: named scalars (usage, perplexity, dead codes ...), detached.
    """

    latents: Tensor
    codes: Tensor
    loss: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)


class Tokenizer(Described, nn.Module, ABC):
    """Media -> codes -> media. A tokenizer owns normalisation, sample rate and resolution.

    A saved folder builds it again from its constructor arguments: plain values, or objects of classes derived from
    `Described` (quantizers are).
    """

    media: ClassVar[str]
    """Kind of media: "image" (B, C, H, W) float in [0, 1]; "video" list of (T, C, H, W) float in [0, 1]; "audio" list
    of (T,) float in [-1, 1]; "text" list of str; "motion" list of `contract.motion.Motion`; any other name for a
    user's own kind."""

    training_only: ClassVar[tuple[str, ...]] = ()
    """Optional constructor arguments that only training needs (a teacher); folders leave them out."""

    @property
    @abstractmethod
    def spec(self) -> TokenSpec:
        """Geometry of the tokens."""

    @abstractmethod
    def encode(self, media: Any, lengths: Tensor | None = None) -> Codes:
        """Codes of a batch of media.

        Args:
            media: a batch of the tokenizer's kind of media.
            lengths: (B,) int64, valid media samples of each row where `media` is a padded tensor.

        Raises:
            ValueError: wrong type, dtype, channel count, size or rate; NaN or out-of-range values; empty media.
        """

    @abstractmethod
    def decode(self, codes: Codes | Sequence[Tensor]) -> Any:
        """Media of a batch of codes; inverse in kind of `encode`.

        Raises:
            ValueError: codes that do not fit the spec; a tokenizer without decoder.
        """

    @property
    def has_encoder(self) -> bool:
        """False where media give continuous inputs alone and `encode` refuses: their codes come from elsewhere."""
        return True

    @property
    def has_decoder(self) -> bool:
        """False where codes are targets alone (distilled features, random projections) and `decode` refuses."""
        return True

    @property
    def specials(self) -> Mapping[str, int]:
        """Codes of "[CLS]", "[SEP]", "[MASK]" of an imported vocabulary; a model's own vocabulary aliases them."""
        return {}

    def config(self) -> dict[str, Any]:
        """JSON-ready constructor arguments."""
        return arguments_of(self, leave_out=self.training_only)

    def inputs(self, media: Any) -> Tensor | None:
        """Optional continuous inputs (n, C) beside the codes (patches), in the codes' order; None where there are none.

        Raises:
            ValueError: as `encode`.
        """
        return None

    def code_vectors(self) -> Tensor | None:
        """The vectors (Q, codebook_size, d) behind the codes, None where codes have no geometry (words).

        A model can start its embeddings from them, so that codes of similar media begin as similar.
        """
        return None

    def continues_word(self) -> Tensor | None:
        """(codebook_size,) bool, True for codes that continue the word of the code before; None for codes of no words.

        `maskmm.masking.whole_words` fills a batch's groups from it.
        """
        return None

    def save(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors (and a subclass's own files) into `folder`."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        if state:
            save_file(state, folder / "model.safetensors")
        self.save_files(folder)
        data: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "class_path": path_of(type(self)),
            "init_args": self.config(),
            "spec": self.spec.to_dict(),
        }
        if self.specials:
            data["specials"] = dict(self.specials)
        (folder / "config.json").write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")

    def save_files(self, folder: Path) -> None:
        """Write files besides the weights (vocabularies); nothing by default."""

    @classmethod
    def from_folder(cls, folder: Path, init_args: dict[str, Any]) -> Tokenizer:
        """Build from a saved folder; subclasses with files of their own override this.

        Raises:
            ValueError: weights that are damaged, or another tokenizer's.
        """
        tokenizer = cls(**init_args)
        path = folder / "model.safetensors"
        if path.exists():
            weights = read_tensors(path)
            try:
                tokenizer.load_state_dict(weights)
            except RuntimeError as error:  # names or shapes; torch gives no narrower one
                raise ValueError(f"{path} holds the weights of another tokenizer: {error}") from error
        return tokenizer

    @classmethod
    def load(cls, folder: Path | str, allow: Iterable[type] = ()) -> Tokenizer:
        """Load a folder that must hold this class or a subclass of it."""
        tokenizer = load_tokenizer(folder, allow)
        if not isinstance(tokenizer, cls):
            raise ValueError(f"{folder} holds a {type(tokenizer).__name__}, expected a {cls.__name__}")
        return tokenizer

    def fingerprint(self) -> str:
        """SHA-256 of the configuration and weights: which tokenizer made some codes."""
        digest = hashlib.sha256(json.dumps(self.config(), sort_keys=True, default=str).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def read_spec(folder: Path | str) -> TokenSpec:
    """The spec that a tokenizer's folder tells, without building the tokenizer.

    Raises:
        ValueError: no such folder, or another format version.
    """
    return _read_config(Path(folder))[2]


def read_specials(folder: Path | str) -> dict[str, int]:
    """The special codes that a tokenizer's folder tells, see `Tokenizer.specials`; without building the tokenizer.

    Raises:
        ValueError: no such folder, another format version, or specials that are no codes.
    """
    folder = Path(folder)
    spec = read_spec(folder)
    specials = json.loads((folder / "config.json").read_text()).get("specials", {})
    stray = {name: code for name, code in specials.items() if not 0 <= int(code) < spec.codebook_size}
    if stray:
        raise ValueError(f"{folder} has specials {stray}, expected codes from 0 to {spec.codebook_size - 1}")
    return {name: int(code) for name, code in specials.items()}


def load_tokenizer(folder: Path | str, allow: Iterable[type] = ()) -> Tokenizer:
    """Build the tokenizer that `folder` describes, in eval mode.

    Args:
        folder: written by `Tokenizer.save`.
        allow: further classes that the folder may name.

    Raises:
        ValueError: no such folder, another format version, a foreign class, or a spec that does not match.
    """
    folder = Path(folder)
    class_path, init_args, spec = _read_config(folder)
    allow = list(allow)
    found: Any = find_class(class_path, Tokenizer, allow)
    tokenizer: Tokenizer = found.from_folder(folder, rebuild(init_args, allow))
    if tokenizer.spec != spec:
        raise ValueError(f"{folder}: it says {spec}, but the tokenizer built from it has {tokenizer.spec}")
    return tokenizer.eval()


def _read_config(folder: Path) -> tuple[str, dict[str, Any], TokenSpec]:
    """Class path, constructor arguments and spec."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected a folder written by Tokenizer.save")
    try:
        data = json.loads(path.read_text())
        version = data["format_version"]
        if version == FORMAT_VERSION:
            return data["class_path"], data["init_args"], TokenSpec.from_dict(data["spec"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or not a tokenizer's config.json ({error!r}); copy the folder again"
        ) from error
    raise ValueError(
        f"{path}: format_version {version}, this version of maskmm reads {FORMAT_VERSION}; load it with the version "
        "that wrote it, or train it anew"
    )
