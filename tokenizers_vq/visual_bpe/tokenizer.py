"""A tokenizer of 2-D grids with a vocabulary of frequent rectangles over it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokenizers_vq.checks import varying_codes
from tokenizers_vq.contract import Codes, Tokenizer, TokenSpec, load_tokenizer
from tokenizers_vq.contract.tensor_files import read_tensors
from tokenizers_vq.frozen import Frozen
from tokenizers_vq.visual_bpe.learning import learn_merges
from tokenizers_vq.visual_bpe.merges import Merges
from tokenizers_vq.visual_bpe.tiling import place

_BASE = "base"
_MOST_CODES = 1 << 20


class VisualBPE(Tokenizer):
    """The media of another tokenizer <-> its codes as merged rectangles: a list of (n, 1), n <= H * W.

    Encoding merges the base tokenizer's grid, decoding takes it apart exactly. The codes of several codebooks at one
    position count as one code ("From Pixels to Tokens", Zhang et al., ICLR 2025).

    Args:
        base: the tokenizer of the grids; its spec has two axes of fixed size.
        merges: (M, 3) int64, see `Merges`; learn them with `VisualBPE.learn`.
        fill: what tokens that do not tile the grid mean (a model may generate such): None refuses them; a code has
            them cut to the room there is, and stands in the cells left over.

    Raises:
        ValueError: a base without a 2-D grid, too many codes, merges that contradict each other, a fill out of range.
    """

    def __init__(self, base: Tokenizer, merges: Tensor, fill: int | None = None) -> None:
        super().__init__()
        _check_base(base.spec)
        if fill is not None and not 0 <= fill < base.spec.codebook_size:
            raise ValueError(f"fill={fill}, expected a code from 0 to {base.spec.codebook_size - 1}, or None")
        # Its weights lie in a folder of its own.
        self._base, self.fill = Frozen(base), fill
        self.media = base.media  # type: ignore[misc]
        self.register_buffer("table", merges.long().cpu())
        self.merges = Merges(_num_joined(base.spec), merges)
        self._cells, self._start = self.merges.cells()
        self._spec = TokenSpec(self.merges.num_tokens, axes=("n",), max_length=base.spec.max_tokens)

    @classmethod
    def learn(
        cls, base: Tokenizer, codes: Codes, num_merges: int, min_count: int = 2, fill: int | None = None
    ) -> VisualBPE:
        """Learn merges from codes (B, H, W, Q) of the base tokenizer; see `learn_merges`.

        Raises:
            ValueError: as the class and `learn_merges`; codes that do not fit the base.
        """
        _check_base(base.spec)
        batch = torch.stack(varying_codes(codes, base.spec, "grids"))
        merges = learn_merges(
            _joined(batch, base.spec.codebook_size), _num_joined(base.spec), num_merges, min_count
        )
        return cls(base, merges.table, fill)

    @property
    def base(self) -> Tokenizer:
        """The tokenizer of the grids."""
        assert isinstance(self._base.network, Tokenizer)
        return self._base.network

    @property
    def spec(self) -> TokenSpec:
        """One codebook along "n", of varying length."""
        return self._spec

    @property
    def has_encoder(self) -> bool:
        """As the base's."""
        return self.base.has_encoder

    @property
    def has_decoder(self) -> bool:
        """As the base's."""
        return self.base.has_decoder

    def config(self) -> dict[str, Any]:
        """Constructor arguments, without the base and the merges, which have their own files."""
        return {"fill": self.fill}

    def encode(self, media: Any, lengths: Tensor | None = None) -> list[Tensor]:
        """Tokens, list of (n, 1) int64, of the base's media.

        Raises:
            ValueError: as the base.
        """
        return self.merge(self.base.encode(media, lengths))

    def decode(self, codes: Codes | Sequence[Tensor]) -> Any:
        """The base's media of tokens, list of (n, 1).

        Raises:
            ValueError: tokens that do not fit the spec, or do not tile the grid where there is no `fill`; as the base.
        """
        return self.base.decode(self.split(codes))

    def merge(self, codes: Codes | Sequence[Tensor]) -> list[Tensor]:
        """Tokens, list of (n, 1) int64, of the base's codes (B, H, W, Q).

        Raises:
            ValueError: codes that do not fit the base's spec.
        """
        batch = torch.stack(varying_codes(codes, self.base.spec, "grids"))
        tokens = self.merges.apply(_joined(batch, self.base.spec.codebook_size))
        return [row[:, None].to(batch.device) for row in tokens]

    def split(self, codes: Codes | Sequence[Tensor]) -> Tensor:
        """The base's codes (B, H, W, Q) int64 of tokens, list of (n, 1); exact inverse of `merge`.

        Raises:
            ValueError: tokens that do not fit the spec, or do not tile the grid where there is no `fill`.
        """
        batch = [tokens[:, 0] for tokens in varying_codes(codes, self.spec, "visual tokens")]
        device = batch[0].device
        padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True, padding_value=-1).cpu()
        height, width = self.base.spec.shape()
        is_token, tokens = padded >= 0, padded.clamp(min=0)
        tiling = place(
            self.merges.height[tokens] * is_token, self.merges.width[tokens] * is_token, (height, width)
        )
        if self.fill is None and not bool(tiling.is_exact.all()):
            wrong = int((~tiling.is_exact).nonzero()[0])
            raise ValueError(
                f"sample {wrong}: its {len(batch[wrong])} tokens do not tile the grid of {height} x {width}, expected "
                "rectangles that fill it; give the tokenizer a `fill` to have generated tokens cut to fit"
            )
        # Every token repeated once for each cell that it covers.
        area = (tiling.height * tiling.width).flatten()
        owner = torch.repeat_interleave(torch.arange(len(area)), area)
        inside = torch.arange(len(owner)) - (area.cumsum(0) - area)[owner]
        down, right = inside // tiling.width.flatten()[owner], inside % tiling.width.flatten()[owner]
        token = tokens.flatten()[owner]
        row, column = tiling.top.flatten()[owner] + down, tiling.left.flatten()[owner] + right
        fill = _joined(
            torch.full((1, self.base.spec.num_codebooks), self.fill or 0), self.base.spec.codebook_size
        )
        grids = torch.full((len(batch), height, width), int(fill))
        sample = owner // padded.shape[1]
        grids[sample, row, column] = self._cells[self._start[token] + down * self.merges.width[token] + right]
        return _separate(grids, self.base.spec).to(device)

    def save_files(self, folder: Path) -> None:
        """Write the base's folder."""
        self.base.save(folder / _BASE)

    @classmethod
    def from_folder(cls, folder: Path, init_args: dict[str, Any]) -> VisualBPE:
        """Build from a saved folder.

        Raises:
            ValueError: files that are missing, damaged or another tokenizer's.
        """
        path = folder / "model.safetensors"
        if not path.is_file():
            raise ValueError(f"{path} does not exist: the folder is half-copied; copy it again")
        weights = read_tensors(path)
        if "table" not in weights:
            raise ValueError(
                f"{path} holds {sorted(weights)}, expected a table: the weights of another tokenizer"
            )
        return cls(load_tokenizer(folder / _BASE), weights["table"], **init_args)

    def fingerprint(self) -> str:
        """SHA-256 of configuration, merges and base."""
        return hashlib.sha256(
            "\n".join((super().fingerprint(), self.base.fingerprint())).encode()
        ).hexdigest()


def _check_base(spec: TokenSpec) -> None:
    if not spec.is_fixed or len(spec.axes) != 2 or not spec.has_codes:
        raise ValueError(
            f"a base with codes over axes {spec.axes}, grid {spec.grid}; expected a 2-D grid of fixed size"
        )
    if _num_joined(spec) > _MOST_CODES:
        raise ValueError(
            f"{spec.num_codebooks} codebooks of {spec.codebook_size} codes have {_num_joined(spec)} combinations, "
            f"expected at most {_MOST_CODES}; merge a tokenizer of fewer codes"
        )


def _num_joined(spec: TokenSpec) -> int:
    return spec.codebook_size**spec.num_codebooks


def _joined(codes: Tensor, codebook_size: int) -> Tensor:
    """(..., Q) -> (...): the codes as digits of one number, the first the highest."""
    digits = codebook_size ** torch.arange(codes.shape[-1] - 1, -1, -1, device=codes.device)
    return (codes.long() * digits).sum(-1)


def _separate(joined: Tensor, spec: TokenSpec) -> Tensor:
    """(...) -> (..., Q): inverse of `_joined`."""
    digits = spec.codebook_size ** torch.arange(spec.num_codebooks - 1, -1, -1)
    return joined[..., None] // digits % spec.codebook_size
