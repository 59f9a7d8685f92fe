"""What `maskmm extract` reads: a folder, files, or a JSONL file of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskmm.cli.files import check_file
from maskmm.cli.jsonl import read_jsonl

_KINDS = {
    ".png": "image", ".jpg": "image", ".jpeg": "image", ".bmp": "image", ".webp": "image",
    ".wav": "audio", ".flac": "audio", ".ogg": "audio", ".txt": "text", ".safetensors": "other",
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One sample.

    Attributes:
        name: says in the output which sample it was.
        values: modality -> path of a file, or for text in a JSONL file the text itself.
        is_file: False where text is given as it is.
    """

    name: str
    values: dict[str, str]
    is_file: bool = True


def find_items(paths: Sequence[Path], kinds: Mapping[str, str], modality: str | None) -> list[Item]:
    """Samples of folders (their files of media, sorted), files and JSONL files, all of the same modalities.

    Args:
        paths: what the user named.
        kinds: modality -> kind of media, of the checkpoint.
        modality: of all files that are no JSONL; found from their suffixes where None.

    Raises:
        ValueError: nothing found, a path that does not exist, a suffix that no modality or more than one takes, or
            samples of different modalities.
    """
    if modality is not None and modality not in kinds:
        raise ValueError(
            f"--modality {modality!r} is not in this checkpoint, expected one of {sorted(kinds)}"
        )
    items: list[Item] = []
    for path in paths:
        if path.suffix == ".jsonl":
            items += _items_of_jsonl(path, kinds)
        elif path.is_dir():
            suffixes = _suffixes(None if modality is None else kinds[modality])
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
            items += [_item_of_file(file, kinds, modality) for file in files]
        else:
            items.append(_item_of_file(path, kinds, modality))
    if not items:
        raise ValueError(
            f"no samples in {[str(p) for p in paths]}; expected files with one of {sorted(_KINDS)}"
        )
    first = items[0]
    for item in items:
        if item.values.keys() != first.values.keys():
            raise ValueError(
                f"{item.name} has {sorted(item.values)}, but {first.name} has {sorted(first.values)}; extract samples "
                "of different modalities in runs of their own (--modality picks one of a mixed folder)"
            )
    return items


def _suffixes(kind: str | None) -> set[str]:
    """Suffixes of the files of a kind of media; of all kinds where None."""
    known = set(_KINDS.values())
    return {s for s, k in _KINDS.items() if kind is None or k == (kind if kind in known else "other")}


def _item_of_file(path: Path, kinds: Mapping[str, str], modality: str | None) -> Item:
    check_file(path, "files, folders or a .jsonl file")
    if modality is not None:
        return Item(str(path), {modality: str(path)})
    kind = _KINDS.get(path.suffix.lower())
    known = ("image", "audio", "text")
    fitting = [n for n, k in kinds.items() if k == kind or (kind == "other" and k not in known)]
    if len(fitting) != 1:
        raise ValueError(
            f"{path}: modalities {fitting} of {sorted(kinds)} take such files; say which: --modality NAME"
        )
    return Item(str(path), {fitting[0]: str(path)})


def _items_of_jsonl(path: Path, kinds: Mapping[str, str]) -> list[Item]:
    items = []
    for where, number, data in read_jsonl(path):
        name = data.pop("id", f"{path}:{number + 1}") if isinstance(data, dict) else ""
        if not isinstance(data, dict) or not data or not all(isinstance(v, str) for v in data.values()):
            raise ValueError(
                f'{where}: {data!r:.80}, expected an object like {{"image": "a.png", "text": "a seven"}}'
            )
        unknown = sorted(set(data) - set(kinds))
        if unknown:
            raise ValueError(f"{where}: {unknown} are not in this checkpoint, only {sorted(kinds)}")
        items.append(Item(str(name), data, is_file=False))
    return items
