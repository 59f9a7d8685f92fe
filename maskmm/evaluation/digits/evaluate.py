"""All figures of the digits model in one table."""

from __future__ import annotations

from dataclasses import asdict

from maskmm.evaluation.digits.corpus import CaptionGrammar, DigitCorpus
from maskmm.evaluation.digits.directions import direction_scores
from maskmm.evaluation.digits.distribution import class_scores, coverage_score
from maskmm.evaluation.digits.features import probe_scores
from maskmm.evaluation.digits.generation import SampleMaker, clips_of, images_of
from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.digits.settings import DigitSettings, EvaluationSizes
from maskmm.evaluation.digits.speech import diversity_score, recogniser_scores
from maskmm.evaluation.digits.tokenizers import reconstruction_scores, usage_score
from maskmm.evaluation.judges import ImageJudge, SpeechJudge, SpeechRecogniser
from maskmm.evaluation.provenance import Provenance
from maskmm.evaluation.scores import Scores
from maskmm.pipeline import Pipeline
from tokenizers_vq.contract import Key


def evaluate_digits(
    pipeline: Pipeline,
    corpus: DigitCorpus,
    captions: CaptionGrammar,
    seed: int,
    sizes: EvaluationSizes | None = None,
    settings: DigitSettings | None = None,
    provenance: Provenance | None = None,
) -> tuple[Scores, Samples]:
    """Generate in every direction, judge, and put the figures into one table.

    Judges are fitted on the real training split alone, and held-out means the split "test" throughout.

    Args:
        pipeline: with the modalities "text", "image" and "speech".
        corpus: the corpus that it was trained on, with the same split.
        captions: grammar of the captions.
        seed: of captions, generation and every draw.
        sizes: how much is generated.
        settings: how it is generated.
        provenance: of the run; this process where not given.

    Raises:
        ValueError: a package of the extra `corpora` is missing, or the pipeline lacks a modality.
    """
    sizes, settings = sizes or EvaluationSizes(), settings or DigitSettings()
    key = Key(seed).fold("evaluate digits")
    train_images, train_clips = corpus.images("train"), corpus.speech("train")
    maker = SampleMaker(
        pipeline,
        captions,
        ImageJudge(train_images.images, train_images.labels),
        SpeechJudge(train_clips.waveforms, train_clips.labels),
        settings,
        key,
    )
    recogniser = SpeechRecogniser()  # before anything is generated: a missing package shows at once
    held_out_images = images_of(corpus, "test", sizes.held_out, key.fold("held-out images"))
    held_out_clips = clips_of(corpus, "test", sizes.held_out, key.fold("held-out clips"))
    samples = maker.make(sizes, held_out_images, held_out_clips)
    probed_images = images_of(corpus, "train", sizes.training, key.fold("training images"))
    training_clips = clips_of(corpus, "train", sizes.training, key.fold("training clips"))
    rows = (
        *direction_scores(samples, seed),
        *recogniser_scores(samples, recogniser, seed),
        diversity_score(samples, training_clips, seed),
        *probe_scores(pipeline, probed_images, held_out_images, settings, seed),
        *reconstruction_scores(samples, seed),
        usage_score(pipeline, corpus, "image", seed, floor=0.6),
        usage_score(pipeline, corpus, "speech", seed, floor=None),
        coverage_score(samples, train_images.images, seed),
        *class_scores(samples, seed),
    )
    about = {"sizes": asdict(sizes), "settings": asdict(settings)}
    return Scores(rows, provenance or Provenance.here(), about), samples
