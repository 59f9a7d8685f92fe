"""Encodes the digits corpus once, so that training the shared model reads tokens alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.corpora.digits.corpus import DigitsCorpus
from datamodules.corpora.digits.images import augment
from datamodules.corpora.digits.perturb import perturb_voices
from datamodules.corpora.splits import SPLITS, Split
from datamodules.store import TokenItems, TokenStore, write_store
from tokenizers_vq.contract import Key, Tokenizer

log = logging.getLogger(__name__)
_VERSION = 3  # of what a store holds; another version of this file must not take an old store for its own


def pretokenize_digits(
    corpus: DigitsCorpus,
    tokenizers: Mapping[str, Tokenizer],
    folder: Path,
    num_views: int = 8,
    num_speech_views: int = 1,
    seed: int = 0,
    batch_size: int = 256,
    inputs: Mapping[str, Tokenizer] | None = None,
) -> None:
    """Write the token stores `train`, `val` and `test` into `folder`.

    Image item `i * num_views + v` is view v of image i: the plain image at v = 0, else an augmented one; clips alike
    with `num_speech_views`, perturbed to other voices. Validation
    and test have plain images alone. Text items are all captions; audio items are the split's clips, in order. A
    store that was already made from the same corpus, tokenizers and settings is left as it is.

    Args:
        corpus: the media.
        tokenizers: by modality name; each is given the media of its own kind (image, text or audio).
        folder: of the three stores.
        num_views: versions of each training image.
        num_speech_views: versions of each training clip.
        seed: decides the augmentation.
        batch_size: media encoded at once.
        inputs: modality name -> tokenizer whose continuous `inputs` of the same media are stored beside the codes, on
            the same grid (patches beside the codes of a teacher: BEiT).

    Raises:
        ValueError: a number of views or batch_size below 1, no tokenizers, a kind of media that the corpus lacks, or
            continuous inputs that do not fit the codes.
    """
    if min(num_views, num_speech_views, batch_size) < 1 or not tokenizers:
        raise ValueError(
            f"num_views={num_views}, num_speech_views={num_speech_views}, batch_size={batch_size}, {len(tokenizers)} "
            "tokenizers: expected at least 1 of each"
        )
    fingerprints = {name: tokenizer.fingerprint() for name, tokenizer in tokenizers.items()}
    readers = dict(inputs or {})
    _check_readers(readers, tokenizers)
    input_fingerprints = {name: tokenizer.fingerprint() for name, tokenizer in readers.items()}
    for split in SPLITS:
        views = {"image": num_views, "audio": num_speech_views} if split == "train" else {}
        settings = {
            "content_version": _VERSION,
            "corpus": "digits",
            "corpus_seed": corpus.seed,
            "split": split,
            "num_views": views,
            "seed": seed,
        }
        if _is_made(folder / split, settings, fingerprints, input_fingerprints):
            log.info("%s is already made from these tokenizers and settings", folder / split)
            continue
        items = {}
        for name, tokenizer in tokenizers.items():
            media, labels = _media(corpus, tokenizer.media, split, views.get(tokenizer.media, 1), Key(seed))
            codes = _encode(tokenizer, media, batch_size)
            made = TokenItems.from_codes(codes, labels, tokenizer.spec, fingerprints[name])
            if name in readers:
                made = made.with_inputs(_read(readers[name], media, batch_size), input_fingerprints[name])
            items[name] = made
        write_store(folder / split, items, settings)


def _check_readers(readers: Mapping[str, Tokenizer], tokenizers: Mapping[str, Tokenizer]) -> None:
    for name, reader in readers.items():
        media = tokenizers[name].media if name in tokenizers else None
        if reader.media != media:
            raise ValueError(
                f"inputs of {name!r} from {type(reader).__name__}, which reads {reader.media}, expected a modality of "
                f"{sorted(tokenizers)} and a tokenizer of the same kind of media"
            )


def _is_made(
    folder: Path, settings: dict[str, Any], fingerprints: dict[str, str], input_fingerprints: dict[str, str]
) -> bool:
    """True where a whole store of the same origin lies there; a damaged one is an error, not a reason to start anew."""
    if not folder.exists():
        return False
    store = TokenStore.open(folder)
    found = {name: (value.fingerprint, value.inputs_fingerprint) for name, value in store.items.items()}
    wanted = {name: (value, input_fingerprints.get(name, "")) for name, value in fingerprints.items()}
    return store.settings == settings and found == wanted


def _media(
    corpus: DigitsCorpus, kind: str, split: Split, num_views: int, key: Key
) -> tuple[Sequence[Any] | Tensor, Tensor]:
    if kind == "image":
        images, labels, item_ids = corpus.images(split)
        views = [images]
        views += [augment(images, key.fold("view").at(view), item_ids) for view in range(1, num_views)]
        return torch.stack(views, dim=1).flatten(0, 1), labels.repeat_interleave(num_views)
    if kind == "text":
        return corpus.captions()
    if kind == "audio":
        speech = corpus.speech(split)
        clip_ids = torch.arange(len(speech.waveforms))
        spoken = [speech.waveforms]
        spoken += [
            perturb_voices(speech.waveforms, key.fold("speech view").at(view), clip_ids)
            for view in range(1, num_views)
        ]
        return [clip for clips in zip(*spoken) for clip in clips], speech.labels.repeat_interleave(num_views)
    raise ValueError(f"the digits corpus has no media of kind {kind!r}, only image, text and audio")


def _encode(tokenizer: Tokenizer, media: Sequence[Any] | Tensor, batch_size: int) -> list[Tensor]:
    codes: list[Tensor] = []
    for part in _in_eval_mode(tokenizer, media, batch_size, tokenizer.encode):
        codes.extend(value.cpu() for value in part)
    return codes


def _read(tokenizer: Tokenizer, media: Sequence[Any] | Tensor, batch_size: int) -> Tensor:
    """(n, C) float32 continuous inputs of all media."""
    parts = list(_in_eval_mode(tokenizer, media, batch_size, tokenizer.inputs))
    if any(part is None for part in parts):
        raise ValueError(
            f"{type(tokenizer).__name__} has no continuous inputs; name one that has, such as ImagePatches"
        )
    return torch.cat(parts).float().cpu()


def _in_eval_mode(
    tokenizer: Tokenizer, media: Sequence[Any] | Tensor, batch_size: int, call: Callable[[Any], Any]
) -> Iterator[Any]:
    """`call` of each batch of media."""
    was_training = tokenizer.training
    tokenizer.eval()
    with torch.inference_mode():
        for start in range(0, len(media), batch_size):
            yield call(media[start : start + batch_size])
    tokenizer.train(was_training)
