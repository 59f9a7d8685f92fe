"""The HumanML3D corpus: motions as 263 numbers a pose with captions, in the dataset's own splits."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from datamodules.corpora.humanml3d.captions import Caption, read_captions
from datamodules.corpora.humanml3d.files import RATE, read_array, read_names
from datamodules.corpora.splits import check_split

_LOG = logging.getLogger(__name__)
_SHOWN = 5  # names in a message
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class CaptionedMotion:
    """A motion, or the part of one that some captions speak of.

    Attributes:
        name: of the files.
        start: first pose, counted in the whole motion.
        features: (T, 263) float32, not normalised.
        captions: all of these poses.
    """

    name: str
    start: int
    features: Tensor
    captions: tuple[str, ...]


class HumanML3DCorpus:
    """Motions of a folder as HumanML3D's own scripts leave it.

    The folder holds `new_joint_vecs/NAME.npy` (T, 263), `texts/NAME.txt`, `Mean.npy` and `Std.npy` (263,), and
    `train.txt`, `val.txt`, `test.txt` with one name a line. It is not distributed with this project.

    Args:
        folder: of the dataset.
        shortest, longest: poses of a motion; others are left out, as the papers on this dataset do (40 to 199).
        max_missing: names of a split that may have no motion file. The published lists name a few motions that the
            scripts do not make; above this number the folder counts as incomplete.

    Raises:
        ValueError: no such folder, or lengths out of range.
    """

    rate: float = RATE

    def __init__(
        self, folder: Path | str, shortest: int = 40, longest: int = 199, max_missing: int = 0
    ) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(
                f"{folder} is no folder; expected HumanML3D with new_joint_vecs/, texts/, Mean.npy, Std.npy and "
                "train.txt (docs/datasheets/humanml3d.md)"
            )
        if not 2 <= shortest <= longest or max_missing < 0:
            raise ValueError(
                f"shortest={shortest}, longest={longest}, max_missing={max_missing}: expected "
                "2 <= shortest <= longest and at least 0"
            )
        self.shortest, self.longest, self.max_missing = shortest, longest, max_missing

    @cached_property
    def mean(self) -> Tensor:
        """(263,) float32, of the training motions.

        Raises:
            ValueError: no readable Mean.npy of this width.
        """
        return read_array(self.folder / "Mean.npy", 1)

    @cached_property
    def deviation(self) -> Tensor:
        """(263,) float32, of the training motions, one value for each group of features.

        Raises:
            ValueError: no readable Std.npy of this width, or a value that is not positive.
        """
        path = self.folder / "Std.npy"
        values = read_array(path, 1)
        if not bool((values > 0).all()):
            worst = int(values.argmin())
            raise ValueError(
                f"{path} has {float(values[worst]):g} at {worst}, expected positive numbers to divide by"
            )
        return values

    def names(self, split: str) -> list[str]:
        """Motions of a split whose file is there, in the order of the list.

        Raises:
            ValueError: an unknown split, no readable list, or more than `max_missing` motions without a file.
        """
        listed = read_names(self.folder / f"{check_split(split)}.txt")
        found = [name for name in listed if self._motion_file(name).is_file()]
        missing = sorted(set(listed) - set(found))
        if len(missing) > self.max_missing:
            raise ValueError(
                f"{len(missing)} of {len(listed)} motions of {split} have no file in {self.folder / 'new_joint_vecs'} "
                f"({', '.join(missing[:_SHOWN])} ...); complete the folder, or set max_missing={len(missing)}"
            )
        if missing:
            _LOG.warning(
                "%s: %d motions have no file and are left out: %s",
                split,
                len(missing),
                ", ".join(missing[:_SHOWN]),
            )
        return found

    def features(self, name: str) -> Tensor:
        """(T, 263) float32 of a whole motion, not normalised.

        Raises:
            ValueError: no readable file of this width, or NaN in it.
        """
        return read_array(self._motion_file(name), 2)

    def captions(self, name: str) -> list[Caption]:
        """All captions of a motion.

        Raises:
            ValueError: no readable file, or a line of another form.
        """
        return read_captions(self.folder / "texts" / f"{name}.txt")

    def motions(self, split: str) -> list[Tensor]:
        """Features (T, 263) of the whole motions of a split that are neither too short nor too long: for tokenizers.

        Raises:
            ValueError: as `names` and `features`; no motion of an allowed length.
        """
        whole = [self.features(name) for name in self.names(split)]
        return self._some([x for x in whole if self._is_allowed(len(x))], split)

    def samples(self, split: str) -> list[CaptionedMotion]:
        """Motions with captions: each whole motion with those of all of it, and each part that a caption names.

        Raises:
            ValueError: as `names`, `features` and `captions`; no motion of an allowed length.
        """
        return self._some([part for name in self.names(split) for part in self._parts(name)], split)

    def _parts(self, name: str) -> Iterator[CaptionedMotion]:
        features, captions = self.features(name), self.captions(name)
        whole = tuple(caption.text for caption in captions if caption.stop is None)
        if whole and self._is_allowed(len(features)):
            yield CaptionedMotion(name, 0, features, whole)
        for caption in captions:
            if caption.stop is None:
                continue
            start = int(caption.start * self.rate)
            part = features[start : int(caption.stop * self.rate)]
            if self._is_allowed(len(part)):
                yield CaptionedMotion(name, start, part, (caption.text,))

    def _is_allowed(self, length: int) -> bool:
        return self.shortest <= length <= self.longest

    def _some(self, found: list[_Found], split: str) -> list[_Found]:
        if not found:
            raise ValueError(
                f"no motion of {split} has {self.shortest} to {self.longest} poses; widen the range or check the folder"
            )
        return found

    def _motion_file(self, name: str) -> Path:
        return self.folder / "new_joint_vecs" / f"{name}.npy"
