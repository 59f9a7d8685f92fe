"""Joint ids of all modalities: specials, mask kinds, then one slice per (modality, codebook)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tokenizers_vq.contract import Modality, TokenSpec

SPECIALS = ("[PAD]", "[CLS]", "[SEP]")


def length_modality(modality: Modality) -> Modality:
    """The label whose one token says how long a segment of `modality` is: code = length - 1."""
    spec = modality.spec
    if spec.is_fixed or spec.max_length is None:
        raise ValueError(
            f"modality {modality.name!r} has the fixed grid {spec.grid}; it needs no length label"
        )
    return Modality(f"{modality.name}.length", TokenSpec(codebook_size=spec.max_length))


def with_length_modalities(modalities: Sequence[Modality]) -> list[Modality]:
    """The modalities, followed by a length label for each one whose length varies and that can be asked for."""
    names = {m.name for m in modalities}
    labels = [length_modality(m) for m in modalities if not m.spec.is_fixed and m.spec.has_codes]
    return [*modalities, *(label for label in labels if label.name not in names)]


class Vocabulary:
    """Maps codes (per codebook) to joint ids and back.

    Ids: [PAD] 0, [CLS] 1, [SEP] 2, mask kinds 3 .. 2 + num_mask_kinds, then slices in the order of `modalities`.
    Modality indices: 0 for special rows, 1.. in the order of `modalities`.

    Args:
        modalities: named token streams.
        num_mask_kinds: size of the family of mask ids (plain, by permutation rank, by group).
        aliases: special name ("[CLS]", "[SEP]", "[MASK]") -> (modality, code): an imported vocabulary keeps its own
            id for that special. Only one-codebook modalities can be aliased. A modality that lends its [SEP] has a
            [SEP] row after each of its segments, as BERT closes its sentences.
        has_cls: each sample opens with a [CLS] row; False for imported models that have none.

    Raises:
        ValueError: no modalities, a duplicate name, or an alias outside its modality.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        num_mask_kinds: int = 1,
        aliases: Mapping[str, tuple[str, int]] | None = None,
        has_cls: bool = True,
    ) -> None:
        self.modalities = tuple(modalities)
        self.has_cls = has_cls
        self.num_mask_kinds = num_mask_kinds
        self.aliases = {name: (target[0], int(target[1])) for name, target in (aliases or {}).items()}
        self.names = tuple(m.name for m in self.modalities)
        if not self.names:
            raise ValueError("a vocabulary needs at least one modality, got none")
        duplicates = sorted({n for n in self.names if self.names.count(n) > 1})
        if duplicates:
            raise ValueError(f"modality names {duplicates} appear twice; give each modality its own name")
        if num_mask_kinds < 1:
            raise ValueError(f"num_mask_kinds={num_mask_kinds}, expected at least 1")
        # At least one slot: special rows, and masked rows of continuous inputs, have an id.
        self.num_codebooks = max(1, *(m.spec.num_codebooks for m in self.modalities))
        self.axes = tuple(dict.fromkeys(axis for m in self.modalities for axis in m.spec.axes))
        self._offset: dict[tuple[str, int], int] = {}
        self.size = len(SPECIALS) + num_mask_kinds
        for m in self.modalities:
            for codebook in range(m.spec.num_codebooks):
                self._offset[m.name, codebook] = self.size
                self.size += m.spec.codebook_size
        unknown = sorted(set(self.aliases) - {"[CLS]", "[SEP]", "[MASK]"})
        if unknown:
            raise ValueError(f"aliases for {unknown}, expected some of ['[CLS]', '[SEP]', '[MASK]']")
        self.pad_id = 0
        self.cls_id = self._special("[CLS]", 1)
        self.sep_id = self._special("[SEP]", 2)
        self._plain_mask_id = self._special("[MASK]", len(SPECIALS))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.modalities, self.num_mask_kinds))

    def _special(self, name: str, default: int) -> int:
        if name not in self.aliases:
            return default
        modality, code = self.aliases[name]
        spec = self.spec(modality)
        if spec.num_codebooks != 1 or not 0 <= code < spec.codebook_size:
            raise ValueError(
                f"alias {name} -> {modality}:{code} needs one codebook with that code, got {spec}"
            )
        return self._offset[modality, 0] + code

    @property
    def closed_modality(self) -> str | None:
        """The modality whose segments each end with a [SEP] row; None where no modality lends its [SEP]."""
        return self.aliases["[SEP]"][0] if "[SEP]" in self.aliases else None

    @property
    def num_special_rows(self) -> int:
        """Rows that packing adds to a sample of one segment: [CLS], and [SEP] where a modality is closed by it."""
        return int(self.has_cls) + int(self.closed_modality is not None)

    def spec(self, name: str) -> TokenSpec:
        """Spec of a modality.

        Raises:
            ValueError: an unknown name.
        """
        return self.modalities[self.index(name) - 1].spec

    def index(self, name: str) -> int:
        """Modality index (1-based; 0 means a special row)."""
        if name not in self.names:
            raise ValueError(f"modality {name!r} is not in this model, expected one of {list(self.names)}")
        return self.names.index(name) + 1

    def slice(self, name: str, codebook: int) -> slice:
        """Joint ids of one codebook."""
        spec = self.spec(name)
        if not 0 <= codebook < spec.num_codebooks:
            known = f"expected 0 to {spec.num_codebooks - 1}" if spec.has_codes else "which has no codes"
            raise ValueError(f"codebook {codebook} of {name!r}, {known}")
        start = self._offset[name, codebook]
        return slice(start, start + spec.codebook_size)

    def mask_id(self, kind: int = 1) -> int:
        """Joint id of a mask kind (1-based)."""
        if not 1 <= kind <= self.num_mask_kinds:
            raise ValueError(f"mask kind {kind}, expected 1 to {self.num_mask_kinds}")
        return self._plain_mask_id if kind == 1 else len(SPECIALS) + kind - 1

    def mask_ids(self) -> Tensor:
        """(num_mask_kinds + 1,) int64 by kind; entry 0 (visible) is [PAD] and never used."""
        return torch.tensor([self.pad_id, *(self.mask_id(k + 1) for k in range(self.num_mask_kinds))])

    def offsets(self) -> Tensor:
        """(modalities + 1, Q) int64, first id of each slice by modality index; -1 where there is no codebook."""
        table = torch.full((len(self.names) + 1, self.num_codebooks), -1, dtype=torch.int64)
        for (name, codebook), start in self._offset.items():
            table[self.index(name), codebook] = start
        return table

    def codebook_sizes(self) -> Tensor:
        """(modalities + 1, Q) int64 by modality index; 0 where there is no codebook."""
        table = torch.zeros(len(self.names) + 1, self.num_codebooks, dtype=torch.int64)
        for index, m in enumerate(self.modalities, start=1):
            table[index, : m.spec.num_codebooks] = m.spec.codebook_size
        return table

    def to_ids(self, name: str, codes: Tensor) -> Tensor:
        """codes (n, q) -> joint ids (n, Q); unused slots are [PAD]."""
        num_codebooks = self.spec(name).num_codebooks
        if codes.shape[-1] != num_codebooks:
            raise ValueError(
                f"{name!r} has {num_codebooks} codebooks, got codes of shape {tuple(codes.shape)}"
            )
        ids = codes.new_full((codes.shape[0], self.num_codebooks), self.pad_id, dtype=torch.int64)
        offset = self.offsets()[self.index(name), :num_codebooks].to(codes.device)
        ids[:, :num_codebooks] = codes + offset
        return ids

    def to_codes(self, name: str, ids: Tensor) -> Tensor:
        """Joint ids (n, Q) -> codes (n, q).

        Raises:
            ValueError: an id outside the modality's slices (a mask that was never filled, say).
        """
        spec = self.spec(name)
        offset = self.offsets()[self.index(name), : spec.num_codebooks].to(ids.device)
        codes = ids[:, : spec.num_codebooks] - offset
        if codes.numel() and bool(((codes < 0) | (codes >= spec.codebook_size)).any()):
            raise ValueError(
                f"ids of {name!r} lie outside its slices; fill every masked token before decoding"
            )
        return codes

    def to_dict(self) -> dict[str, object]:
        """JSON-ready dictionary."""
        return {
            "modalities": [{"name": m.name, "spec": m.spec.to_dict()} for m in self.modalities],
            "num_mask_kinds": self.num_mask_kinds,
            "aliases": {name: list(target) for name, target in self.aliases.items()},
            "has_cls": self.has_cls,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Vocabulary:
        """Inverse of `to_dict`."""
        modalities = [Modality(m["name"], TokenSpec.from_dict(m["spec"])) for m in data["modalities"]]  # type: ignore[attr-defined]
        aliases = {name: (target[0], target[1]) for name, target in data["aliases"].items()}  # type: ignore[attr-defined]
        has_cls = bool(data.get("has_cls", True))  # older files do not say
        return cls(modalities, int(data["num_mask_kinds"]), aliases, has_cls)  # type: ignore[call-overload]
