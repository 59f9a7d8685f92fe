"""What `Pipeline.generate` hands back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maskmm.pipeline.settings import GenerationSettings
from tokenizers_vq.contract import Codes


@dataclass(frozen=True)
class GenerationOutput(Mapping[str, Any]):
    """A mapping of target -> decoded media, of the kind that its tokenizer decodes to.

    Attributes:
        media: target -> media.
        codes: target -> (B, *grid, Q) int64 where the grid is fixed, else a list of B tensors (*shape, Q).
        settings: target -> the settings it was decoded with.
    """

    media: dict[str, Any]
    codes: dict[str, Codes]
    settings: dict[str, GenerationSettings]

    def __getitem__(self, name: str) -> Any:
        if name not in self.media:
            raise KeyError(f"{name!r} was not a target, the targets were {list(self.media)}")
        return self.media[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.media)

    def __len__(self) -> int:
        return len(self.media)
