"""A batch of samples as flat codes and one table of segments: no padding anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tokenizers_vq.contract.spec import Modality
from tokenizers_vq.contract.tensors import TensorRecord

Sample = Mapping[str, "Tensor | Sequence[Tensor]"]


@dataclass(frozen=True)
class SegmentTable(TensorRecord):
    """One row per segment, in packing order (samples ascending).

    Attributes:
        sample: (S,) int64, index of the sample in the batch.
        modality: (S,) int64, index into the batch's `names`.
        start: (S,) int64, first row of the segment in its modality's flat codes.
        shape: (S, A) int64, tokens along each axis, filled up with 1 on the right.
    """

    sample: Tensor
    modality: Tensor
    start: Tensor
    shape: Tensor

    @property
    def length(self) -> Tensor:
        """(S,) int64, positions in each segment."""
        return self.shape.prod(dim=1)

    def __len__(self) -> int:
        return self.sample.shape[0]


@dataclass(frozen=True)
class TokenBatch(TensorRecord):
    """Flat tokens of B samples; a sample may lack a modality or have several segments of one.

    Attributes:
        names: modality names; `segments.modality` indexes them.
        codes: name -> (n, Q) int64.
        segments: table of segments.
        sample_id: (B,) int64, names the sample for hashed randomness, wherever it lies in a batch.
        inputs: name -> (n, C) float, optional continuous inputs beside the codes.
        condition_codes: name -> (n, Q) int64, optional codes of a degraded condition (COMMIT).
        group: name -> (n,) int64, optional groups that are masked together (whole words), numbered within
            their segment; -1 = alone.
    """

    names: tuple[str, ...]
    codes: dict[str, Tensor]
    segments: SegmentTable
    sample_id: Tensor
    inputs: dict[str, Tensor] = field(default_factory=dict)
    condition_codes: dict[str, Tensor] = field(default_factory=dict)
    group: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_samples(self) -> int:
        """B."""
        return self.sample_id.shape[0]

    @classmethod
    def from_samples(
        cls,
        samples: Sequence[Sample],
        modalities: Sequence[Modality],
        sample_id: Tensor | None = None,
        inputs: Sequence[Sample] | None = None,
    ) -> TokenBatch:
        """Flatten samples.

        Args:
            samples: each maps a modality name to codes (*grid, Q), or to a list of them for several segments.
                Segments keep the mapping's order. Modalities without codebooks have Q = 0.
            modalities: all modalities of the batch.
            sample_id: (B,) int64; 0..B-1 where not given.
            inputs: for each sample, name -> continuous inputs (*grid, C), or a list of them, beside the codes of the
                same grid.

        Raises:
            ValueError: an unknown modality, codes that do not fit its spec, or inputs that do not fit the codes.
        """
        specs = {m.name: m.spec for m in modalities}
        names = tuple(specs)
        num_axes = max((len(s.axes) for s in specs.values()), default=0)
        flat: dict[str, list[Tensor]] = {name: [] for name in names}
        filled = dict.fromkeys(names, 0)
        rows: list[tuple[int, int, int, tuple[int, ...]]] = []
        for index, sample in enumerate(samples):
            for name, value in sample.items():
                if name not in specs:
                    raise ValueError(f"sample {index} has modality {name!r}, expected one of {names}")
                for codes in _as_list(value):
                    specs[name].check_codes(codes, f"sample {index}, {name}")
                    shape = tuple(codes.shape[:-1]) + (1,) * (num_axes - len(specs[name].axes))
                    rows.append((index, names.index(name), filled[name], shape))
                    flat[name].append(codes.flatten(0, -2).long() if codes.ndim > 1 else codes[None].long())
                    filled[name] += flat[name][-1].shape[0]
        table = SegmentTable(
            torch.tensor([r[0] for r in rows], dtype=torch.int64),
            torch.tensor([r[1] for r in rows], dtype=torch.int64),
            torch.tensor([r[2] for r in rows], dtype=torch.int64),
            torch.tensor([r[3] for r in rows], dtype=torch.int64).reshape(len(rows), num_axes),
        )
        codes_by_name = {
            name: torch.cat(parts) if parts else torch.zeros(0, specs[name].num_codebooks, dtype=torch.int64)
            for name, parts in flat.items()
        }
        ids = torch.arange(len(samples)) if sample_id is None else sample_id
        if ids.shape != (len(samples),):
            raise ValueError(f"sample_id of shape {tuple(ids.shape)} for {len(samples)} samples")
        return cls(names, codes_by_name, table, ids.long(), _flat_inputs(samples, inputs or ()))

    def keep_segments(self, is_kept: Tensor) -> TokenBatch:
        """Leave out the segments where is_kept (S,) is False; all samples stay, also empty ones."""
        table = self.segments
        length, start, rows = table.length, torch.zeros_like(table.start), {}
        for index, name in enumerate(self.names):
            kept = (table.modality == index) & is_kept
            count = length[kept]
            start[kept] = count.cumsum(0) - count
            # A transform may have reordered the table, so rows are found through `start`, not by table order.
            shift = torch.repeat_interleave(table.start[kept] - start[kept], count)
            rows[name] = shift + torch.arange(shift.shape[0], device=shift.device)
        new_table = SegmentTable(
            table.sample[is_kept], table.modality[is_kept], start[is_kept], table.shape[is_kept]
        )

        def pick(values: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value[rows[name]] for name, value in values.items()}

        return replace(
            self,
            codes=pick(self.codes),
            segments=new_table,
            inputs=pick(self.inputs),
            condition_codes=pick(self.condition_codes),
            group=pick(self.group),
        )

    def segment_codes(self, index: int) -> Tensor:
        """Codes (*grid, Q) of segment `index`; trailing axes of size 1 beyond the modality's own are dropped."""
        table = self.segments
        name = self.names[int(table.modality[index])]
        start, shape = int(table.start[index]), table.shape[index].tolist()
        codes = self.codes[name][start : start + int(table.length[index])]
        return codes.reshape(*shape, codes.shape[-1])

    def samples(self, modalities: Sequence[Modality]) -> list[dict[str, list[Tensor]]]:
        """Inverse of `from_samples`: for each sample, name -> list of codes (*grid, Q), where the batch has codes."""
        num_axes = {m.name: len(m.spec.axes) for m in modalities}
        out: list[dict[str, list[Tensor]]] = [{} for _ in range(self.num_samples)]
        for index in range(len(self.segments)):
            name = self.names[int(self.segments.modality[index])]
            if name not in self.codes:
                continue
            codes = self.segment_codes(index)
            codes = codes.reshape(*codes.shape[: num_axes[name]], codes.shape[-1])
            out[int(self.segments.sample[index])].setdefault(name, []).append(codes)
        return out


def _as_list(value: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [value] if isinstance(value, Tensor) else value


def _flat_inputs(samples: Sequence[Sample], inputs: Sequence[Sample]) -> dict[str, Tensor]:
    """name -> (n, C), in the order of the codes; every segment of a modality has them, or none has."""
    if inputs and len(inputs) != len(samples):
        raise ValueError(f"continuous inputs of {len(inputs)} samples for {len(samples)} samples")
    flat: dict[str, list[Tensor]] = {name: [] for given in inputs for name in given}
    for index, sample in enumerate(samples if flat else ()):
        for name in [*sample, *(name for name in inputs[index] if name not in sample)]:
            if name not in flat:
                continue
            grids = [tuple(codes.shape[:-1]) for codes in _as_list(sample.get(name, []))]
            values = _as_list(inputs[index].get(name, []))
            found = [tuple(value.shape[:-1]) for value in values]
            if grids != found:
                raise ValueError(
                    f"sample {index}, {name}: continuous inputs on grids {found}, expected those of its codes, {grids}"
                )
            flat[name] += [value.reshape(-1, value.shape[-1]) for value in values]
    widths = {name: sorted({value.shape[1] for value in values}) for name, values in flat.items()}
    uneven = {name: width for name, width in widths.items() if len(width) != 1}
    if uneven:
        raise ValueError(f"continuous inputs of several widths, or none at all: {uneven}")
    return {name: torch.cat(values) for name, values in flat.items()}
