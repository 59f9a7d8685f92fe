"""Figures of generated speech beyond the SVM: an outside ear, and diversity."""

from __future__ import annotations

from maskmm.evaluation.digits.generation import Clips
from maskmm.evaluation.digits.samples import Samples
from maskmm.evaluation.diversity import word_diversity
from maskmm.evaluation.intervals import ratio_interval
from maskmm.evaluation.judges import SpeechRecogniser
from maskmm.evaluation.scores import Score


def recogniser_scores(samples: Samples, recogniser: SpeechRecogniser, seed: int) -> list[Score]:
    """What pocketsphinx hears in generated clips, as a share of what it hears in held-out ones, and its own scores.

    Raises:
        ValueError: it recognises none of the held-out clips.
    """
    real = recogniser.is_right(samples.real_clips.media, samples.real_clips.labels)
    through = recogniser.is_right(samples.speech_reconstructions.media, samples.real_clips.labels)
    generated = recogniser.is_right(samples.text_to_speech.media, samples.text_to_speech.labels)
    interval = ratio_interval(generated, real, seed)  # refuses a judge that hears nothing
    ceiling = float(real.mean())
    ratio = Score(
        "text -> speech is the word (pocketsphinx, real = 1)",
        float(generated.mean()) / ceiling,
        len(generated),
        interval,
        floor=0.85,
        ceiling=1.0,
        seeds=(seed,),
        note=f"share of its score on {len(real)} held-out clips",
    )
    return [
        ratio,
        Score.of_share(
            "text -> speech is the word (pocketsphinx)", generated, ceiling=ceiling, seeds=(seed,)
        ),
        Score.of_share("judge: pocketsphinx on held-out speech", real, seeds=(seed,)),
        Score.of_share("judge: pocketsphinx on reconstructions", through, ceiling=ceiling, seeds=(seed,)),
    ]


def diversity_score(samples: Samples, training: Clips, seed: int) -> Score:
    """Many ways to say a word, against the training clips: all the voices that the model could learn."""
    real = word_diversity(training.waveforms, training.labels, seed)
    generated = word_diversity(samples.text_to_speech.media, samples.text_to_speech.labels, seed)
    low, high = generated.interval
    return Score(
        "text -> speech distance within a word (real = 1)",
        generated.value / real.value,
        generated.count,
        (low / real.value, high / real.value),
        floor=0.5,
        ceiling=1.0,
        seeds=(seed,),
        note=f"{generated.value:.2f} against {real.value:.2f} nats among {real.count} training clips",
    )
