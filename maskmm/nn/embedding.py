"""Packed rows -> vectors: codes, mask kinds, modality, position, repeated segments, continuous inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskmm.nn.input_projection import build_input_projection
from maskmm.nn.learned_positions import build_positions
from maskmm.nn.transformer_config import TransformerConfig
from maskmm.sequence import TokenSequence
from maskmm.vocabulary import Vocabulary


class TokenEmbedding(nn.Module):
    """Sum of the embeddings of a row.

    The Q codes of a row are looked up in one joint table and summed ([PAD] counts for nothing); mask kinds are
    entries of the same table. A row whose continuous input is visible adds its projection, or shows it instead of its
    codes: where anything of a row is masked, the mask's embedding stands in its place.

    Args:
        vocabulary: joint ids.
        config: of the whole model.

    Raises:
        ValueError: continuous inputs for a modality that the vocabulary lacks, or under a name that no module can have.
    """

    def __init__(self, vocabulary: Vocabulary, config: TransformerConfig) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        width, options = config.width, config.embedding
        self.codes = nn.Embedding(vocabulary.size, width, padding_idx=vocabulary.pad_id)
        self.modality = nn.Embedding(len(vocabulary.names) + 1, width) if options.has_modality else None
        self.repeat = nn.Embedding(options.num_repeats, width) if options.num_repeats else None
        _check_names(list(config.input_widths), vocabulary)
        self.input_widths = dict(config.input_widths)
        self.has_codes_beside_inputs = options.has_codes_beside_inputs
        self.inputs = nn.ModuleDict(
            {
                _key(name): build_input_projection(channels, width, options.input_hidden)
                for name, channels in config.input_widths.items()
            }
        )
        self.positions = build_positions(vocabulary, width, config.positions)

    @torch.no_grad()
    def start(self) -> None:
        """Zero what stands for nothing: [PAD], the repeats at first, the slot of absent axes."""
        self.codes.weight[self.vocabulary.pad_id].zero_()
        if self.repeat is not None:
            self.repeat.weight.zero_()
        if self.positions is not None and self.positions.padding_idx is not None:
            self.positions.weight[self.positions.padding_idx].zero_()

    def forward(self, sequence: TokenSequence) -> Tensor:
        """(N, D).

        Raises:
            ValueError: continuous inputs without a projection, or of another width than its own.
        """
        x_ND = self.codes(self._seen_ids(sequence)).sum(dim=1)
        if self.modality is not None:
            x_ND = x_ND + self.modality(sequence.modality)
        if self.positions is not None:
            x_ND = x_ND + self.positions(self.positions.slots(sequence)).sum(dim=1)
        if self.repeat is not None and len(sequence.segments):
            x_ND = x_ND + self.repeat(_repeat_of_row(sequence, self.repeat.num_embeddings))
        for name, value in sequence.inputs.items():
            x_ND = x_ND + self._project(name, value, sequence)
        return x_ND

    def _seen_ids(self, sequence: TokenSequence) -> Tensor:
        """(N, Q) ids; [PAD] for codes in whose place inputs stand."""
        ids = sequence.ids
        if self.has_codes_beside_inputs or not sequence.inputs:
            return ids
        has_input = torch.stack([sequence.modality == self.vocabulary.index(n) for n in sequence.inputs])
        is_code = has_input.any(dim=0)[:, None] & ~self._is_mask(sequence)
        return torch.where(is_code, self.vocabulary.pad_id, ids)

    def _is_mask(self, sequence: TokenSequence) -> Tensor:
        """(N, Q) bool."""
        mask_ids = self.vocabulary.mask_ids()[1:].to(sequence.ids.device, non_blocking=True)
        return torch.isin(sequence.ids, mask_ids)

    def _project(self, name: str, value: Tensor, sequence: TokenSequence) -> Tensor:
        """Projected inputs on the modality's rows of which nothing is masked, zero elsewhere."""
        if name not in self.input_widths:
            raise ValueError(
                f"continuous inputs for {name!r}, but the model has projections for {list(self.input_widths)}"
            )
        if value.shape[1:] != (self.input_widths[name],):
            raise ValueError(
                f"continuous inputs of {name!r} have shape {tuple(value.shape)}, but input_widths of the model say "
                f"{self.input_widths[name]} channels; expected (n, {self.input_widths[name]})"
            )
        # Stored vectors are half or float32, whatever the model's weights are.
        projected = self.inputs[_key(name)](value.to(self.codes.weight.dtype))
        if not value.shape[0]:
            return projected.new_zeros(sequence.num_rows, projected.shape[1])
        # Ranks instead of row indices: finding those would wait for the device.
        is_mine = sequence.modality == self.vocabulary.index(name)
        torch._assert_async(
            is_mine.sum() <= value.shape[0], f"inputs of {name!r}: one row for each of its tokens"
        )
        rank = (is_mine.cumsum(0) - 1).clamp(min=0)
        is_shown = is_mine & ~self._is_mask(sequence).any(dim=1)
        return torch.where(is_shown[:, None], projected[rank], 0.0)


def _key(name: str) -> str:
    return name.replace(".", "_")  # module names cannot hold dots


def _check_names(names: list[str], vocabulary: Vocabulary) -> None:
    foreign = [name for name in names if name not in vocabulary.names]
    if foreign:
        raise ValueError(f"input_widths for {foreign}, expected modalities among {list(vocabulary.names)}")
    keys, nothing = [_key(name) for name in names], nn.ModuleDict()
    taken = [name for name, key in zip(names, keys) if keys.count(key) > 1 or hasattr(nothing, key)]
    if taken:
        raise ValueError(
            f"input_widths for {taken}: projections are modules named by their modality, with '_' for '.', and these "
            "names are alike or mean something else there; rename the modalities"
        )


def _repeat_of_row(sequence: TokenSequence, num_repeats: int) -> Tensor:
    """(N,) how many earlier segments of the same modality the row's sample has (two images: 0 and 1)."""
    table = sequence.segments
    num = len(sequence.vocabulary.names)
    pair = table.sample * num + table.modality
    order = torch.argsort(pair, stable=True)
    sorted_pair = pair[order]
    index = torch.arange(len(table), device=pair.device)
    is_first = torch.ones_like(sorted_pair, dtype=torch.bool)
    is_first[1:] = sorted_pair[1:] != sorted_pair[:-1]
    first = torch.where(is_first, index, 0).cummax(0).values
    repeat = torch.empty_like(index)
    repeat[order] = (index - first).clamp(max=num_repeats - 1)
    of_row = torch.where(sequence.segment >= 0, repeat[sequence.segment], 0)
    if sequence.vocabulary.closed_modality is None:
        return of_row
    # A [SEP] row belongs to the segment it closes.
    is_closing = sequence.ids[:, 0] == sequence.vocabulary.sep_id
    return torch.where(is_closing & (sequence.segment < 0), of_row.roll(1), of_row)
