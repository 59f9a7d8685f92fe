"""Vocabulary files of public text models -> one definition of the `tokenizers` library, and its special tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Pieces

_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")
_ROLES = {"[CLS]": ("cls_token", "bos_token"), "[SEP]": ("sep_token", "eos_token"), "[MASK]": ("mask_token",)}
_MASKS = ("[MASK]", "<mask>")
"""Names of the mask where a publisher leaves it to the class of the tokenizer, as BERT's and RoBERTa's do."""
_NORMALISATION = {
    "do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"
}  # fmt: skip


@dataclass(frozen=True)
class PublicVocabulary:
    """A vocabulary as its publisher uses it.

    Attributes:
        definition: contents of a `tokenizer.json` file.
        specials: "[CLS]" and "[SEP]", where a text gets them around it, and "[MASK]" -> code.
    """

    definition: str
    specials: dict[str, int]

    @classmethod
    def read(cls, folder: Path | str) -> PublicVocabulary:
        """From a folder with tokenizer.json, vocab.txt (BERT), or vocab.json and merges.txt (RoBERTa).

        Raises:
            ValueError: none of them, files that cannot be read, or special tokens that packing cannot place.
        """
        folder = Path(folder)
        settings: dict[str, Any] = {}
        for name in _SETTINGS:
            if (folder / name).is_file():
                settings = _read_json(folder / name) | settings
        if (folder / "tokenizer.json").is_file():
            definition = (folder / "tokenizer.json").read_text(encoding="utf-8")
            pieces = read_pieces(definition, str(folder / "tokenizer.json"))
            _normalise_as_told(pieces, settings)
        elif (folder / "vocab.txt").is_file():
            settings = {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"} | settings
            pieces = _with_added(_word_pieces(folder / "vocab.txt", settings), folder)
        elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
            settings = {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"} | settings
            pieces = _with_added(_byte_pairs(folder, settings), folder)
        else:
            raise ValueError(
                f"{folder} has no vocabulary; expected tokenizer.json, vocab.txt, or vocab.json and merges.txt"
            )
        return cls.of(pieces, settings)

    @classmethod
    def of(cls, pieces: Pieces, settings: Mapping[str, Any]) -> PublicVocabulary:
        """From a tokenizer of the library and the names of its special tokens ("mask_token" -> "[MASK]").

        Raises:
            ValueError: special tokens that packing cannot place.
        """
        pieces = read_pieces(pieces.to_str(), "the tokenizer")
        definition = pieces.to_str()
        specials = _around(pieces)
        told = _name_of(settings, "[MASK]")
        added = {token.content for token in pieces.get_added_tokens_decoder().values() if token.special}
        names = [name for name in _MASKS if name in added] if told is None else [told]
        code = pieces.token_to_id(names[0]) if names else None
        return cls(definition, specials if code is None else {**specials, "[MASK]": code})


def read_pieces(definition: str, where: str) -> Pieces:
    """A tokenizer of the `tokenizers` library that neither cuts nor pads.

    Raises:
        ValueError: contents that the library cannot read.
    """
    try:
        pieces = Pieces.from_str(definition)
    except Exception as error:  # noqa: BLE001 - the library raises nothing more special
        raise ValueError(f"{where} cannot be read by the tokenizers library: {error}") from error
    pieces.no_truncation()
    pieces.no_padding()
    return pieces


def _around(pieces: Pieces) -> dict[str, int]:
    """What the publisher puts before and after a text, found by doing so."""
    plain = pieces.encode("a", add_special_tokens=False).ids
    full = pieces.encode("a", add_special_tokens=True).ids
    start = next((i for i in range(len(full)) if full[i : i + len(plain)] == plain), None)
    before, after = (full[:start], full[start + len(plain) :]) if start is not None else ([], [])
    if start is None or len(before) > 1 or len(after) > 1:
        raise ValueError(
            f"the tokenizer puts special tokens around a text, {full} for {plain}, that packing cannot place: at most "
            "one before and one after it"
        )
    return {name: codes[0] for name, codes in (("[CLS]", before), ("[SEP]", after)) if codes}


def _name_of(settings: Mapping[str, Any], role: str) -> str | None:
    for key in _ROLES[role]:
        value = settings.get(key)
        if value is not None:
            return _content(value)
    return None


def _content(token: Any) -> str:
    """Name of a token, which settings may describe as well."""
    return token["content"] if isinstance(token, Mapping) else str(token)


def _normalise_as_told(pieces: Pieces, settings: Mapping[str, Any]) -> None:
    """Change BERT's normaliser to what the settings say; transformers lets them overrule tokenizer.json."""
    normaliser = pieces.normalizer
    if isinstance(normaliser, normalizers.BertNormalizer):
        for name, ours in _NORMALISATION.items():
            if settings.get(name) is not None:
                setattr(normaliser, ours, settings[name])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds a {type(data).__name__}, expected an object")
    return data


def _word_pieces(path: Path, settings: Mapping[str, Any]) -> Pieces:
    """BERT's tokenizer from its vocabulary, one piece a line."""
    names = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    vocabulary = {piece: code for code, piece in enumerate(names)}
    unknown = _content(settings.get("unk_token", "[UNK]"))
    pieces = Pieces(models.WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=100))
    pieces.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.decoder = decoders.WordPiece(prefix="##")
    cls, sep, mask = (_special(vocabulary, settings, role, path) for role in _ROLES)
    pieces.add_special_tokens([cls[0], sep[0], mask[0]])
    pieces.post_processor = processors.BertProcessing(sep, cls)
    return pieces


def _byte_pairs(folder: Path, settings: Mapping[str, Any]) -> Pieces:
    """RoBERTa's tokenizer: byte-level BPE (Radford et al., GPT-2, 2019) from its vocabulary and merges."""
    vocabulary = _read_json(folder / "vocab.json")
    cls, sep, mask = (_special(vocabulary, settings, role, folder / "vocab.json") for role in _ROLES)
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [line.partition(" ")[::2] for line in lines if line and not line.startswith("#version:")]
    try:
        pieces = Pieces(models.BPE(vocabulary, merges, fuse_unk=False))
    except Exception as error:  # noqa: BLE001 - the library raises nothing more special
        raise ValueError(f"{folder}: vocab.json and merges.txt do not belong together: {error}") from error
    has_prefix = bool(settings.get("add_prefix_space", False))
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=has_prefix)
    pieces.decoder = decoders.ByteLevel()
    # The mask stands for a word with the space before it.
    pieces.add_special_tokens([cls[0], sep[0], AddedToken(mask[0], lstrip=True, normalized=False)])
    pieces.post_processor = processors.RobertaProcessing(sep, cls, add_prefix_space=has_prefix)
    return pieces


def _with_added(pieces: Pieces, folder: Path) -> Pieces:
    """The tokenizer with what was added to its vocabulary, a file beside it: name -> code, after the others."""
    path = folder / "added_tokens.json"
    added = _read_json(path) if path.is_file() else {}
    pieces.add_tokens([name for name, _ in sorted(added.items(), key=lambda item: item[1])])
    other = {name: code for name, code in added.items() if pieces.token_to_id(name) != code}
    if other:
        raise ValueError(f"{path} adds {other}, which do not follow the codes of the vocabulary beside it")
    return pieces


def _special(
    vocabulary: Mapping[str, int], settings: Mapping[str, Any], role: str, path: Path
) -> tuple[str, int]:
    name = _name_of(settings, role)
    if name is None or name not in vocabulary:
        raise ValueError(f"{path} lacks the special token {name!r}, which stands for {role}")
    return name, vocabulary[name]
